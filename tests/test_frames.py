"""Frames have names: a function says which frame it takes or gives, and each name has a schema."""

import ast
import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import polars as pl
import pytest
from confluent_kafka import Message

from homma.core import candle, compare, identity, recompute, series, tick, window
from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.finality import FinalityRules
from homma.core.interval import HOUR_US, MINUTE
from homma.core.tick import TickRules
from homma.feed import history, quotes
from homma.feed.instruments import Instrument
from homma.feed.market_hours import MARKETS
from homma.feed.recorded import ColumnMapping, RowParser
from homma.lake import schema
from homma.lake.audit import comparing, correction, rows
from homma.lake.land import newest, records
from homma.topics import codec, ticks
from homma.topics.kafka import published_candles
from tests.support.candle_rows import NOON
from tests.support.candle_rows import candle as candle_row
from tests.support.candle_rows import candles as candle_rows

SRC = Path(__file__).parents[1] / "src"
#: What takes or gives any frame with some columns, and why it has no name.
OPEN = {
    "homma.cli.history_request.HistoryRequest.write": "rows of any table",
    "homma.core.compare.compare": "candles to compare, with further columns that stay",
    "homma.core.fill.fill_previous": "candles with any values",
    "homma.core.recompute.first_copies": "ticks with any further columns",
    "homma.core.tick.with_turnover": "ticks with any further columns",
    "homma.core.traded_sums.may_exceed": "ticks or candles",
    "homma.core.traded_sums.require_below_bound": "ticks or candles",
    "homma.core.series.advance": "clocks of some series",
    "homma.core.series.decode": "any rows with a series",
    "homma.core.series.encode": "any rows with a source and a symbol",
    "homma.core.series.register": "any rows with a source and a symbol",
    "homma.core.series_partitions.SeriesPartitions.require_unsplit": "any rows with a partition",
    "homma.cli.terminal.table.text_table": "cells of any table",
    "homma.feed.definitions.json_records.FeedRecords.values": "records of any feed",
    "homma.feed.definitions.tick_reader.ReadRecords.ticks": "the fields that a feed has",
    "homma.feed.trial.Trial.ticks": "the fields that a feed has",
    "homma.feed.definitions.tick_reader.TickReader.read": "records of any feed",
    "homma.feed.files.JsonRows.batches": "records of any file",
    "homma.feed.files.Rows.batches": "rows of any file",
    "homma.feed.files.TableRows.batches": "rows of any file",
    "homma.feed.recorded.RowParser.filled": "rows of any file",
    "homma.feed.trial.try_records": "records of any feed",
    "homma.feed.quotes.Walks.trades": "random numbers",
    "homma.feed.trades.trades": "quotes with sizes, and random numbers",
    "homma.feed.recorded.RowParser.ticks": "rows of any file",
    "homma.lake.audit.counted_ticks.SeriesFilter.apply": "any rows with a source and a symbol",
    "homma.lake.audit.rows.candles": "some columns of a candle table",
    "homma.lake.history.HistoryQuery.filter_source": "any rows with a source",
    "homma.lake.history.decimals_of": "rows of any table",
    "homma.lake.history.format_values": "rows of any table",
    "homma.lake.history.to_record_fields": "rows of any table",
    "homma.lake.land.newest.CandleChange.removed": "keys of rows",
    "homma.lake.table.table.Table.batches": "any columns of any table",
    "homma.lake.table.table.Table.read": "any columns of any table",
    "homma.lake.table.table.Table.scan": "any columns of any table",
    "homma.lake.table.table.Table.upload": "rows of any table",
    "homma.topics.codec.encode_ticks": "any fields of a tick",
    "homma.topics.precedence.ReducedRecords.records": "records of any topic",
    "homma.topics.precedence.newest": "records of any topic",
    "homma.topics.precedence.newest_of_partition": "records of any topic",
    "homma.topics.precedence.reduce": "records of any topic",
    "homma.topics.precedence.without_tombstones": "records of any topic",
}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((SRC / "homma").rglob("*.py")):
        if "node_modules" not in path.parts:
            yield ".".join(path.relative_to(SRC).with_suffix("").parts), path


def annotated(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
    """The public functions, methods and fields of a module."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from annotated(node.body, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == "__init__" or not node.name.startswith("_"):
                yield f"{prefix}.{node.name}", node
        elif isinstance(node, ast.AnnAssign):
            name = ast.unparse(node.target)
            if not name.startswith("_"):
                yield f"{prefix}.{name}", node


def annotations(node: Definition) -> Iterator[str]:
    if isinstance(node, ast.AnnAssign):
        yield ast.unparse(node.annotation)
        return
    every = node.args
    arguments = [*every.posonlyargs, *every.args, *every.kwonlyargs]
    arguments += [argument for argument in (every.vararg, every.kwarg) if argument]
    yield from (ast.unparse(a.annotation) for a in arguments if a.annotation)
    if node.returns:
        yield ast.unparse(node.returns)


def aliases(path: Path) -> Iterator[tuple[str, str, str]]:
    """Each alias of a frame, the name of the constant before it, and the comment above it."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    before = ""
    for node in ast.parse(text).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            if node.value is not None and "DataFrame" in ast.unparse(node.value):
                yield ast.unparse(node.target), before, lines[node.lineno - 2]
        else:
            before = ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else ""


def test_every_function_says_which_frames_it_takes_and_gives() -> None:
    unnamed = {
        name
        for module, path in modules()
        for name, node in annotated(ast.parse(path.read_text("utf-8")).body, module)
        if any("DataFrame" in annotation for annotation in annotations(node))
    }
    assert unnamed == {*OPEN}


def test_every_name_stands_beside_a_schema_and_says_what_the_rows_are() -> None:
    names = [(module, *alias) for module, path in modules() for alias in aliases(path)]
    assert len(names) > 20
    for module, name, constant, comment in names:
        assert isinstance(getattr(importlib.import_module(module), constant, None), pl.Schema), name
        assert comment.startswith("#: "), name
        assert comment.endswith("."), name


def test_every_name_is_used_once_and_for_no_class() -> None:
    names = Counter(name for _, path in modules() for name, _, _ in aliases(path))
    classes = Counter(
        node.name
        for _, path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in names.items() if count > 1 or name in classes]


# --- the frames have the columns of their schemas ---------------------------------------------
Named = dict[str, tuple[pl.DataFrame, pl.Schema]]
RULES = TickRules(1_000_000, price="mid")
READ_US = int(NOON.timestamp()) * 1_000_000 + 10_000_000


def value(number: int) -> bytes:
    return (
        f'{{"source":"S","symbol":"A","ask":1.5,"bid":1.5,"mid":1.5,"number":{number},'
        f'"dateTime":"2025-03-20T12:00:0{number}.000"}}'
    ).encode()


#: Two valid ticks, one of them twice, and a record that is not a tick.
VALUES = [value(1), value(2), b"no tick", value(2)]


def messages(values: list[bytes]) -> list[Message]:
    return [
        Message(topic="t", partition=0, offset=n, value=text, timestamp=(1, READ_US // 1000))
        for n, text in enumerate(values)
    ]


def parsed_batch() -> ticks.ParsedBatch:
    return ticks.parse_ticks({0: messages(VALUES)}, RULES)[0]


def applied() -> window.Window:
    return window.Window(window.WindowRules()).apply(parsed_batch().valid)[0]


def expected_candles() -> pl.DataFrame:
    recorded = parsed_batch().valid.select(
        *recompute.TICKS.names()[:4], *tick.measures("mid"), "offset", partition=0
    )
    piece = recompute.Slice(0, recompute.END_OF_TIME_US, recorded)
    return recompute.Recomputation(DEFAULT_CALENDAR).add(piece)


def minute_values() -> list[bytes]:
    """The values of the records of the m1 candles."""
    _, changed = applied().publish(READ_US)
    return codec.encode_candles(changed.filter(pl.col("interval") == "m1"), READ_US)[1]


def of_ticks() -> Named:
    parsed = codec.decode_ticks(VALUES)
    timed = parsed.with_columns(timestamp_us=pl.lit(READ_US, pl.Int64))
    batch = parsed_batch()
    rows_of_file = batch.valid.select(tick.JSON_SCHEMA.names())
    parser = RowParser(Path("ticks.csv"), rows_of_file.schema, ColumnMapping())
    _, result = window.Window(window.WindowRules()).apply(batch.valid)
    return {
        "parsed": (parsed, tick.PARSED),
        "checked": (tick.check(timed, RULES), tick.CHECKED),
        "valid": (batch.valid, tick.VALID),
        "dropped as late": (result.dropped_late, tick.VALID),
        "dead letters": (batch.bad, ticks.DEAD_LETTER),
        "of a file": (
            parser.ticks(rows_of_file, 1).select(tick.FILE_TICK.names()),
            tick.FILE_TICK,
        ),
        "rows": (records.ticks({0: messages(VALUES)}, RULES), schema.TICK_ROW),
    }


def of_the_window() -> Named:
    before = applied()
    after, changed = before.publish(READ_US)
    [base] = before.pending
    [bucket] = before.identities.buckets.values()
    pack = identity.PackedIdentities.pack(bucket.rows)
    none = candle.base_candles(candle.KEYED_TICK.to_frame(), DEFAULT_CALENDAR.base)
    restored = window.Window(window.WindowRules()).restore_candles(
        changed.select(window.RESTORED.names())
    )
    return {
        "series": (before.series, series.SERIES),
        "identities": (bucket.rows, identity.IDENTITIES),
        "packed identities": (pack.rows(), identity.IDENTITIES),
        "base": (base, candle.CANDLE),
        "base of no tick": (none, candle.CANDLE),
        "rolled up": (candle.roll_up(base, DEFAULT_CALENDAR.intervals), candle.CANDLE),
        "merged": (candle.merge(base), candle.CANDLE),
        "held": (after.candles, window.PUBLISHED),
        "changed": (changed, window.CHANGED),
        "restored": (restored.candles, window.PUBLISHED),
    }


def of_the_audit() -> Named:
    expected = expected_candles()
    keys = expected.select(recompute.EXPECTED_KEY)
    topic = published_candles._frame(messages(minute_values()), "m1")
    newest_records = comparing.newest_records(keys, topic, {0: 4}, {("S", "A"): 0})
    bounded = newest_records.select(recompute.BOUNDED_KEYS.names())
    more = recompute.add_ticks(expected, bounded, recompute.TICKS.to_frame(), DEFAULT_CALENDAR)
    times = correction.newest_event_times(expected)
    table = rows.candles(candle_rows(candle_row()), MINUTE)
    recorded = correction.recorded_series(topic, expected, times)
    time = correction.PartitionTime(READ_US, READ_US)
    corrected = correction.compute_correction(
        expected, keys, newest_records, table, recorded, time, FinalityRules()
    )
    verdicts = compare.compare(expected, more)
    return {
        "expected": (expected, recompute.EXPECTED),
        "with more ticks": (more, recompute.EXPECTED),
        "verdicts": (verdicts, compare.VERDICT),
        "wrong keys": (compare.wrong_keys([verdicts]), recompute.CANDLE_KEYS),
        "of the table": (table, recompute.RECORDED),
        "of the topic": (topic, published_candles.TOPIC_CANDLE),
        "newest records": (newest_records, comparing.NEWEST_RECORD),
        "event times": (times, correction.NEWEST_EVENT_TIME),
        "recorded series": (recorded, correction.RECORDED_SERIES),
        "corrected": (corrected.candles, correction.CORRECTED),
        "needed": (corrected.needed, correction.CORRECTED),
        "deleted": (corrected.tombstones, recompute.CANDLE_KEYS),
    }


def of_landed_candles() -> Named:
    values = minute_values()
    parsed = records.candles(messages(values)).records
    times = newest.advance(newest.SERIES_TIMES.to_frame(), parsed)
    stored = candle_rows(candle_row())
    change = newest.merge(stored, stored.clear(), parsed, times, MINUTE, FinalityRules())
    return {
        "decoded": (codec.decode_candles(values, MINUTE), recompute.RECORDED),
        "texts": (codec.decode_candle_texts(values), codec.CANDLE_TEXTS),
        "records": (parsed, newest.RECORD),
        "times": (times, newest.SERIES_TIMES),
        "times of rows": (newest.times_of(stored), newest.SERIES_TIMES),
        "open": (change.open, schema.CANDLE_ROW),
        "final": (change.final, schema.CANDLE_ROW),
        "retained": (change.retained, schema.CANDLE_ROW),
    }


def of_quotes() -> Named:
    walks = quotes.Walks(["S"], [Instrument("A", "share", 10.0, 2, 0.3, 1)], 1.0, Random(1))
    moved = walks.move(2)
    share = Instrument("A", "share", 10.0, 2, 0.3, 1)
    past = history.leading_to(READ_US, HOUR_US, ["S"], [share], Random(1))
    return {
        "in points": (moved, quotes.QUOTE),
        "in prices": (walks.prices(moved), quotes.PRICED_QUOTE),
        "bursts": (history.bursts(MARKETS["fx"], READ_US - HOUR_US, READ_US), history.BURST),
        "of the past": (past, history.HISTORY_TICK),
    }


@pytest.mark.parametrize(
    "frames", [of_ticks, of_the_window, of_the_audit, of_landed_candles, of_quotes]
)
def test_frames_have_exactly_the_columns_of_their_schemas(frames: Callable[[], Named]) -> None:
    named = frames()
    actual = {name: dict(frame.schema) for name, (frame, _) in named.items()}
    assert actual == {name: dict(columns) for name, (_, columns) in named.items()}
