"""All users of `topics/precedence.py` choose the same record of a key as the oracle."""

import random
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise, permutations, product

import polars as pl
from confluent_kafka import Message, Producer
from hypothesis import given, settings
from hypothesis import strategies as st

from homma.aggregate.recorded_state import RestoreContext, candle_range, read_candles
from homma.core.calendar import DEFAULT_CALENDAR, calendar_of
from homma.core.finality import FinalityRules
from homma.core.interval import MINUTE
from homma.core.tick import TickRules
from homma.core.window import WindowRules
from homma.failpoint import ignore_step
from homma.lake.land import newest
from homma.lake.land import records as landed
from homma.lake.schema import CANDLE_KEY
from homma.rendered import trino
from homma.serve.live import EARLIEST, CandleRange, Live
from homma.serve.watermarks import SeriesWatermarks
from homma.topics import contract, precedence
from homma.topics.candle import read_candle
from homma.topics.kafka.published_candles import PublishedCandles
from homma.topics.kafka.reading import Reader
from homma.topics.latest import CandleRecord, LatestCandles
from homma.topics.offset_metadata import RUN
from tests.support import oracle
from tests.support.candle_records import candle_key, candle_value
from tests.support.candle_rows import candles
from tests.support.oracle import Record
from tests.support.pipeline import Pipeline

NOON = datetime(2025, 3, 20, 12)
SYMBOLS = ("AAA", "BBB")
#: By key: the number of the record that is the candle.
Chosen = dict[tuple[str, datetime], int]
#: Partition, symbol, minute, volume (None: a tombstone), is_final, revision.
Row = tuple[int, str, int, int | None, bool | None, int | None]

volumes = st.none() | st.integers(1, 4)
finals = st.sampled_from([None, None, False, True])
revisions = st.sampled_from([None, None, 0, 1])
rows = st.tuples(
    st.integers(0, 2), st.sampled_from(SYMBOLS), st.integers(0, 1), volumes, finals, revisions
)


def written(rows: Sequence[Row]) -> list[Record]:
    """The records of rows, in the order of writing."""
    result: list[Record] = []
    offsets = [0, 100, 50]
    for number, (partition, symbol, minute, volume, is_final, revision) in enumerate(rows):
        key = (symbol, NOON + timedelta(minutes=minute))
        offset, offsets[partition] = offsets[partition], offsets[partition] + 1
        written_ms = 1_000 + 10 * number
        result.append(
            Record(number, key, partition, offset, written_ms, volume, is_final, revision)
        )
    return result


sequences = st.lists(rows, max_size=14).map(written)


def chosen(records: dict[tuple[str, datetime], Record]) -> Chosen:
    return {key: record.number for key, record in records.items()}


def key_of(record: Record) -> bytes:
    symbol, start = record.key
    return candle_key(start.isoformat(timespec="milliseconds"), symbol=symbol)


def value_of(record: Record) -> bytes | None:
    """The record's value; its close tells its number, and its newest tick is a day old."""
    if record.volume is None:
        return None
    symbol, start = record.key
    old = (start - timedelta(days=1)).isoformat(timespec="microseconds")
    return candle_value(
        start.isoformat(timespec="milliseconds"),
        symbol=symbol,
        close=float(record.number),
        volume=record.volume,
        tickCount=record.volume,
        isFinal=record.is_final,
        revision=record.revision,
        openDateTime=old,
        openNumber=0,
        closeDateTime=old,
        closeNumber=0,
        updateDateTime=old,
    )


def candle_record(record: Record) -> CandleRecord:
    return CandleRecord(
        record.partition, record.offset, record.timestamp_ms, key_of(record), value_of(record)
    )


def message(record: Record) -> Message:
    return Message(
        topic="candle_1min",
        partition=record.partition,
        offset=record.offset,
        key=key_of(record),
        value=value_of(record),
        timestamp=(1, record.timestamp_ms),
    )


# --- serve and tail ---------------------------------------------------------------------------
def held(latest: LatestCandles) -> Chosen:
    return {
        (symbol, candle.start.replace(tzinfo=None)): int(candle.close)
        for symbol in SYMBOLS
        for candle in latest.candles(("S", symbol))
    }


def test_four_records_of_a_key_may_be_read_in_any_order() -> None:
    # A tombstone, records without revision, and one with a revision.
    kinds = [(None, None), (1, None), (2, None), (3, None), (2, 1)]
    for chosen_kinds in product(kinds, repeat=4):
        records = written([(0, "AAA", 0, volume, None, rev) for volume, rev in chosen_kinds])
        expected = chosen(oracle.current_records(records))
        for order in permutations([candle_record(record) for record in records]):
            latest = LatestCandles(10)
            for record in order:
                latest.add(record)
            assert held(latest) == expected, (chosen_kinds, order)


@settings(deadline=None, max_examples=150)
@given(sequences, st.data())
def test_serve_and_tail_read_old_records_in_any_order(
    records: list[Record], data: st.DataObject
) -> None:
    backfilled = data.draw(st.integers(0, len(records)))
    latest = LatestCandles(10)
    for record in data.draw(st.permutations(records[:backfilled])):
        latest.add(candle_record(record))
    assert held(latest) == chosen(oracle.current_records(records[:backfilled]))
    latest.end_backfill()
    for record in records[backfilled:]:
        latest.add(candle_record(record))
    assert held(latest) == chosen(oracle.current_records(records))


@settings(deadline=None, max_examples=100)
@given(volumes.filter(bool), st.integers(1, 4), revisions)
def test_serve_prefers_its_record_to_the_lakes_row(
    landed_volume: int, volume: int, revision: int | None
) -> None:
    row, record = written(
        [(0, "AAA", 0, landed_volume, True, 1), (0, "AAA", 0, volume, None, revision)]
    )
    watermarks = SeriesWatermarks(timedelta(seconds=2), timedelta(seconds=5))
    live = Live(DEFAULT_CALENDAR, 10, watermarks)
    live.add("m1", candle_record(record))
    older = read_candle(value_of(row) or b"")
    assert older is not None
    span = CandleRange(("S", "AAA"), EARLIEST, None, 10)
    [candle] = live.merge_history("m1", span, [older])
    assert [int(candle.close)] == list(chosen(oracle.current_records([row, record])).values())


# --- land -------------------------------------------------------------------------------------
def land(commits: Sequence[Sequence[Record]]) -> pl.DataFrame:
    """The rows of a table after commits; each commit reduces its records in two steps."""
    open_rows, final_rows = candles(), candles()
    for commit in commits:
        half = len(commit) // 2
        first = precedence.reduce(parsed(commit[:half]), CANDLE_KEY).records
        both = pl.concat([first, parsed(commit[half:])])
        reduced = precedence.reduce(both, CANDLE_KEY).records
        times = newest.advance(pl.DataFrame(schema=newest.SERIES_TIMES), both)
        matching = final_rows.join(reduced, on=CANDLE_KEY, how="semi")
        change = newest.merge(open_rows, matching, reduced, times, MINUTE, FinalityRules())
        open_rows = change.open
        assert not open_rows["is_final"].any()
        assert change.final["is_final"].all()
        kept = final_rows.join(change.removed, on=CANDLE_KEY, how="anti")
        final_rows = pl.concat([kept, change.final])
    return pl.concat([open_rows, final_rows])


def parsed(records: Sequence[Record]) -> pl.DataFrame:
    """The frames that `land` makes of a batch: one per partition."""
    frames = [pl.DataFrame(schema=newest.RECORD)]
    for partition in range(3):
        result = landed.candles([message(r) for r in records if r.partition == partition])
        assert not result.invalid
        frames.append(result.records)
    return pl.concat(frames)


@settings(deadline=None, max_examples=150)
@given(sequences, st.data())
def test_land_may_commit_at_any_record(records: list[Record], data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(records)), max_size=3))
    bounds = sorted([0, *cuts, len(records)])
    table = land([records[start:end] for start, end in pairwise(bounds)])
    expected = oracle.current_records(records)
    rows = table.select("symbol", "date_time", "close", "is_final", "revision").rows()
    assert len(rows) == len(expected)
    assert {
        (symbol, at.replace(tzinfo=None)): (int(close), is_final, revision)
        for symbol, at, close, is_final, revision in rows
    } == {key: (r.number, r.is_final, r.revision) for key, r in expected.items()}


# --- Trino ------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=100)
@given(sequences)
def test_trinos_views_show_the_newest_record_of_a_partition(records: list[Record]) -> None:
    assert precedence.NEWEST_IN_SQL in trino.files(DEFAULT_CALENDAR)["views.sql"]
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE topic (_partition_id, _key, _partition_offset, number, volume)")
    database.executemany(
        "INSERT INTO topic VALUES (?, ?, ?, ?, ?)",
        [(r.partition, key_of(r), r.offset, r.number, r.volume) for r in records],
    )
    shown = database.execute(
        f"SELECT number FROM (SELECT *, {precedence.NEWEST_IN_SQL} AS age FROM topic) "
        "WHERE age = 1 AND volume IS NOT NULL"
    ).fetchall()
    database.close()
    expected = [
        record.number
        for partition in range(3)
        for record in oracle.newest_records(
            [r for r in records if r.partition == partition]
        ).values()
    ]
    assert sorted(number for (number,) in shown) == sorted(expected)


# --- restart, verify and repair ---------------------------------------------------------------
def many_records(seed: int) -> list[Record]:
    """Several hundred keys, each with some records in up to three partitions."""
    rng = random.Random(seed)
    return written(
        [
            (
                rng.randrange(3),
                rng.choice(SYMBOLS),
                rng.randrange(200),
                rng.choice([None, 1, 2, 3, 4]),
                rng.choice([None, False, True]),
                rng.choice([None, 0, 1]),
            )
            for _ in range(1_500)
        ]
    )


def send(pipeline: Pipeline, records: Sequence[Record]) -> None:
    producer, now_ms = Producer(pipeline.config), int(time.time() * 1000)
    for record in records:
        producer.produce(
            pipeline.topics.candles["m1"],
            value_of(record),
            key_of(record),
            record.partition,
            timestamp=now_ms + record.timestamp_ms,
            headers=[(RUN, b"run")],
        )
    assert producer.flush(30) == 0


def numbers(frame: pl.DataFrame) -> Chosen:
    return {
        (symbol, oracle.EPOCH + timedelta(microseconds=start_us)): int(close)
        for symbol, start_us, close in frame.select("symbol", "start_us", "close").iter_rows()
    }


def test_restart_verify_and_repair_read_the_newest_records(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=3, calendar=calendar_of(["m1"]))
    records, topics, reader = many_records(7), pipeline.topics, Reader(pipeline.config)
    published = PublishedCandles(reader, topics, 3, lambda frame: frame)
    for part in (records[:700], records[700:]):
        send(pipeline, part)
        published.refresh()
    newest = precedence.without_tombstones(published.candles())
    assert numbers(newest) == chosen(oracle.newest_records(records))
    for partition in range(3):
        context = restore_context(reader, topics, partition)
        ranges = {"m1": candle_range(context, "m1")}
        own = [record for record in records if record.partition == partition]
        restored = read_candles(context, ranges, "run", None)
        assert numbers(restored) == chosen(oracle.newest_records(own))
    reader.close()


def restore_context(reader: Reader, topics: contract.Topics, partition: int) -> RestoreContext:
    return RestoreContext(
        reader=reader,
        topics=topics,
        partition=partition,
        rules=WindowRules(calendar=topics.calendar),
        tick_rules=TickRules(0),
        topic_id="id",
        tick_partitions=(),
        is_rekeyed=False,
        on_step=ignore_step,
    )
