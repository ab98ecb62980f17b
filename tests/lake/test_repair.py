"""`homma repair`: what was wrong is right, in topics, tables and engine, and stays so."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.core.recompute import EventSpan
from homma.errors import TableMismatch
from homma.lake.correction import CorrectionRules
from homma.lake.counted_ticks import SeriesFilter
from homma.lake.late import late_keys, span_of
from homma.lake.repair import Repaired, repair
from homma.lake.schema import TABLES
from homma.lake.verify import Scope
from tests import oracle
from tests.aggregate.pipeline import KEY, VALUES, Pipeline, batch_candles, same_candles, until
from tests.faults.engines import Feed, Record, market
from tests.lake.checking import counts, engine_of, forge, lake_of, tamper, verified
from tests.lake.sinks import Sinks

# Reached only when it never happens.
_NEVER_S = 240.0


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path)


def mended(sinks: Sinks, *, late: bool = False, dry_run: bool = False, **question: Any) -> Repaired:
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        named = None
        if late:
            named = late_keys(engine.reader, engine.topics.late, engine.partitions)
            question["span"] = span_of(named) or EventSpan()
        return repair(
            lake,
            engine,
            Scope(**question),
            CorrectionRules(),
            lambda: time.time_ns() // 1000,
            named=named,
            dry_run=dry_run,
        )


def send(sinks: Sinks, records: Sequence[Record]) -> None:
    with Feed(sinks.pipeline, records, 0) as feed:
        feed.join()


def work(sinks: Sinks) -> None:
    sinks.pipeline.work_off()
    sinks.work_off()


def truth(sinks: Sinks) -> pl.DataFrame:
    """The candles of all valid ticks in the topic, late ones too, by the oracle's rules."""
    ticks = []
    for message in sinks.pipeline.records(sinks.pipeline.topics.ticks):
        read = oracle.read(message.value())
        if not isinstance(read, str):
            ticks.append(read)
    return batch_candles(
        pl.DataFrame(ticks).select("source", "symbol", "mid", "number", "dateTime")
    )


def sound(sinks: Sinks) -> None:
    """Topics and tables hold the candles of all ticks."""
    wanted = truth(sinks)
    same_candles(sinks.pipeline.candles(), wanted)
    assert counts(verified(sinks)) == ({"equal": wanted.height}, {"equal": wanted.height})


def test_late_ticks_are_in_the_candles_afterwards_and_the_engine_goes_on(sinks: Sinks) -> None:
    records = market(11, 8_000, 4)
    send(sinks, records[:4_000])
    work(sinks)
    before = sinks.pipeline.candles()
    done = mended(sinks, late=True)
    assert done.table.wrong == done.topic.wrong > 0
    assert sum(done.published.values()) == done.topic.wrong
    sinks.work_off()
    sound(sinks)
    # A correction counts one revision on; what was right is left alone.
    both = before.join(sinks.pipeline.candles(), on=KEY, suffix="_after")
    changed = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_after") for name in VALUES)
    step = pl.col("revision_after") - pl.col("revision")
    assert both.filter(changed & pl.col("is_final"))["revision"].len() > 0
    assert both.filter(changed & pl.col("is_final")).select((step == 1).all()).item()
    assert both.filter(~changed).select((step == 0).all()).item()
    assert both.select((pl.col("is_final") == pl.col("is_final_after")).all()).item()
    # Open days, weeks and months were repaired: the engine goes on from those.
    assert both.filter(changed & ~pl.col("is_final")).height > 0
    assert mended(sinks).published == {}
    send(sinks, records[4_000:])
    work(sinks)
    late = len(sinks.pipeline.records(sinks.pipeline.topics.late))
    assert 0 < verified(sinks).wrong < late * 11 * 2
    mended(sinks)
    sinks.work_off()
    sound(sinks)


def test_damage_is_mended(sinks: Sinks) -> None:
    records = market(12, 6_500, 4, spoiled=False)
    send(sinks, records[:6_000])
    work(sinks)
    candles = sinks.pipeline.candles()
    homes = {
        symbol: message.partition() or 0
        for message in sinks.pipeline.records(sinks.pipeline.topics.candles[-1])
        for symbol in [(message.value() or b"").decode().split('"symbol":"')[1][:4]]
    }
    its = candles.filter(pl.col("symbol") == "SYM0")
    minutes = its.filter(pl.col("interval") == 0)
    coarse = its.filter(pl.col("interval") > 7)
    wrong = pl.concat([minutes[2:5], coarse]).with_columns(high=pl.col("high") + 1)
    alien = minutes[:1].with_columns(start_us=pl.col("start_us") - 86_400_000_000)
    forge(sinks, pl.concat([wrong, alien]), minutes[7:9], homes["SYM0"])
    sinks.work_off()
    at = pl.col("date_time").dt.epoch("us")
    place = (pl.col("symbol") == "SYM1") & (at < minutes["start_us"][20])
    dropped = tamper(sinks, 0, place)
    changed = tamper(sinks, 1, place, low=pl.col("low") - 1)
    # Only told at first.
    told = mended(sinks, dry_run=True)
    assert told.published == {}
    assert told.topic.wrong == wrong.height + 3
    assert told.table.wrong == wrong.height + 3 + dropped + changed
    assert verified(sinks).wrong == told.topic.wrong + told.table.wrong
    # Only some of it.
    assert mended(sinks, series=SeriesFilter("SYM2")).published == {}
    done = mended(sinks)
    assert sum(done.removed.values()) == 1
    assert sum(done.published.values()) == wrong.height + 2 + dropped + changed
    sinks.work_off()
    sound(sinks)
    # The engine takes it up.
    send(sinks, records[6_000:])
    work(sinks)
    sound(sinks)


def landed(sinks: Sinks) -> bool:
    """Whether all tables are there, and ticks and minutes in them."""
    with lake_of(sinks) as lake:
        try:
            return all([lake.table(spec) for spec in TABLES][at].offsets() for at in (0, 1))
        except TableMismatch:
            return False


def test_beside_a_running_engine_and_a_running_sink(sinks: Sinks) -> None:
    records = market(14, 20_000, 4)
    send(sinks, records[:10_000])
    with sinks:
        sinks.start()
        engine = sinks.pipeline.process("--emit-every", "100ms")
        try:
            late = sinks.pipeline.topics.late
            until(lambda: len(sinks.pipeline.records(late)) > 0, _NEVER_S)
            until(lambda: landed(sinks), _NEVER_S)
            with Feed(sinks.pipeline, records[10_000:], 15) as feed:
                until(lambda: feed.sent > 3_000, _NEVER_S)
                first = mended(sinks)
                until(lambda: feed.sent > 6_000, _NEVER_S)
                second = mended(sinks)
                feed.join()
            assert sum(first.published.values()) > 0
            assert sum(second.published.values()) > 0
            assert engine.poll() is None
            with engine_of(sinks) as seen:
                ends = {p: seen.reader.kept(seen.topics.ticks, p).end for p in (0, 1)}

                def through() -> bool:
                    found = seen.standings()
                    return all(p in found and found[p].offset >= end for p, end in ends.items())

                until(through, _NEVER_S)
        finally:
            engine.terminate()
            engine.wait(60)
    sinks.work_off()
    mended(sinks)
    sinks.work_off()
    sound(sinks)
