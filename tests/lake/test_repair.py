"""`homma repair`: wrong candles are corrected in topics, tables and engine, and stay correct."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.core.finality import FinalityRules
from homma.core.recompute import EventSpan
from homma.errors import TableMismatch
from homma.formats import CURRENT
from homma.lake.audit.counted_ticks import SeriesFilter
from homma.lake.audit.late import late_keys, span_of
from homma.lake.audit.repair import RepairReport, repair
from homma.lake.audit.verify import Scope
from homma.lake.schema import tables
from tests.lake.truth import truth
from tests.support.engines import Feed, Record, market
from tests.support.landing import counts, engine_of, forge, lake_of, tamper, verified
from tests.support.pipeline import KEY, VALUES, Pipeline, same_candles, until
from tests.support.sinks import Sinks

# Only reached if the condition never becomes true.
_NEVER_S = 240.0


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path)


def run_repair(
    sinks: Sinks, *, late: bool = False, dry_run: bool = False, **scope: Any
) -> RepairReport:
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        keys, calendar = None, engine.topics.calendar
        if late:
            keys = late_keys(engine.reader, engine.topics.late, engine.partitions, calendar)
            scope["span"] = span_of(keys) or EventSpan()
        return repair(
            lake,
            engine,
            Scope(calendar, **scope),
            FinalityRules(),
            lambda: time.time_ns() // 1000,
            keys=keys,
            dry_run=dry_run,
        )


def send(sinks: Sinks, records: Sequence[Record]) -> None:
    with Feed(sinks.pipeline, records, 0) as feed:
        feed.join()


def work(sinks: Sinks) -> None:
    sinks.pipeline.work_off()
    sinks.work_off()


def check_all(sinks: Sinks) -> None:
    """Check that topics and tables hold the candles of all ticks."""
    expected = truth(sinks)
    same_candles(sinks.pipeline.candles(), expected)
    assert counts(verified(sinks)) == ({"equal": expected.height}, {"equal": expected.height})


def test_late_ticks_are_in_the_repaired_candles_and_the_engine_continues(sinks: Sinks) -> None:
    records = market(11, 8_000, 4)
    send(sinks, records[:4_000])
    work(sinks)
    before = sinks.pipeline.candles()
    report = run_repair(sinks, late=True)
    assert report.table.wrong == report.topic.wrong > 0
    assert sum(report.published.values()) == report.topic.wrong
    sinks.work_off()
    check_all(sinks)
    # A correction has the next revision; correct candles are unchanged.
    pairs = before.join(sinks.pipeline.candles(), on=KEY, suffix="_after")
    changed = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_after") for name in VALUES)
    step = pl.col("revision_after") - pl.col("revision")
    assert pairs.filter(changed & pl.col("is_final"))["revision"].len() > 0
    assert pairs.filter(changed & pl.col("is_final")).select((step == 1).all()).item()
    assert pairs.filter(~changed).select((step == 0).all()).item()
    assert pairs.select((pl.col("is_final") == pl.col("is_final_after")).all()).item()
    # Open days, weeks and months were repaired: the engine continues from them.
    assert pairs.filter(changed & ~pl.col("is_final")).height > 0
    assert run_repair(sinks).published == {}
    send(sinks, records[4_000:])
    work(sinks)
    late = len(sinks.pipeline.records(sinks.pipeline.topics.late))
    assert 0 < verified(sinks).wrong < late * 11 * 2
    run_repair(sinks)
    sinks.work_off()
    check_all(sinks)


def test_repair_writes_the_format_of_the_engine(sinks: Sinks) -> None:
    """While engines of format 1 still run, they must be able to read what repair writes."""
    records = market(13, 3_000, 4)
    send(sinks, records[:2_000])
    sinks.pipeline.work_off(write_format=1)
    sinks.work_off()
    assert sum(run_repair(sinks).published.values()) > 0
    with engine_of(sinks) as engine:
        assert [state.version for state in engine.committed_states().values()] == [1, 1]
    candles = sinks.pipeline.records(*sinks.pipeline.topics.candles.values())
    assert not any("format" in dict(message.headers() or []) for message in candles)
    assert not any(b"tickCount" in (message.value() or b"") for message in candles)
    sinks.work_off()
    check_all(sinks)
    send(sinks, records[2_000:])
    work(sinks)
    run_repair(sinks)
    with engine_of(sinks) as engine:
        assert [state.version for state in engine.committed_states().values()] == [CURRENT, CURRENT]
    sinks.work_off()
    check_all(sinks)


def test_damage_is_repaired(sinks: Sinks) -> None:
    records = market(12, 6_500, 4, noisy=False)
    send(sinks, records[:6_000])
    work(sinks)
    candles = sinks.pipeline.candles()
    partitions = {
        symbol: message.partition() or 0
        for message in sinks.pipeline.records(sinks.pipeline.topics.candles["M1"])
        for symbol in [(message.value() or b"").decode().split('"symbol":"')[1][:4]]
    }
    series = candles.filter(pl.col("symbol") == "SYM0")
    minutes = series.filter(pl.col("interval") == "m1")
    coarse = series.filter(pl.col("interval").is_in(["D1", "W1", "M1"]))
    wrong = pl.concat([minutes[2:5], coarse]).with_columns(high=pl.col("high") + 1)
    alien = minutes[:1].with_columns(start_us=pl.col("start_us") - 86_400_000_000)
    forge(sinks, pl.concat([wrong, alien]), minutes[7:9], partitions["SYM0"])
    sinks.work_off()
    at = pl.col("date_time").dt.epoch("us")
    is_damaged = (pl.col("symbol") == "SYM1") & (at < minutes["start_us"][20])
    dropped = tamper(sinks, "m1", is_damaged)
    changed = tamper(sinks, "m5", is_damaged, low=pl.col("low") - 1)
    # A dry run first.
    planned = run_repair(sinks, dry_run=True)
    assert planned.published == {}
    assert planned.topic.wrong == wrong.height + 3
    assert planned.table.wrong == wrong.height + 3 + dropped + changed
    assert verified(sinks).wrong == planned.topic.wrong + planned.table.wrong
    # Only one series.
    assert run_repair(sinks, series=SeriesFilter("SYM2")).published == {}
    report = run_repair(sinks)
    assert sum(report.removed.values()) == 1
    assert sum(report.published.values()) == wrong.height + 2 + dropped + changed
    sinks.work_off()
    check_all(sinks)
    # The engine continues.
    send(sinks, records[6_000:])
    work(sinks)
    check_all(sinks)


def has_landed(sinks: Sinks) -> bool:
    """Whether all tables exist, with ticks and minutes."""
    with lake_of(sinks) as lake:
        try:
            return all(
                [lake.table(spec) for spec in tables(sinks.pipeline.topics.calendar)][at].offsets()
                for at in (0, 1)
            )
        except TableMismatch:
            return False


def test_repair_while_engine_and_sink_run(sinks: Sinks) -> None:
    records = market(14, 20_000, 4)
    send(sinks, records[:10_000])
    with sinks:
        sinks.start()
        engine = sinks.pipeline.process("--emit-every", "100ms")
        try:
            late = sinks.pipeline.topics.late
            until(lambda: len(sinks.pipeline.records(late)) > 0, _NEVER_S)
            until(lambda: has_landed(sinks), _NEVER_S)
            with Feed(sinks.pipeline, records[10_000:], 15) as feed:
                until(lambda: feed.sent > 3_000, _NEVER_S)
                first = run_repair(sinks)
                until(lambda: feed.sent > 6_000, _NEVER_S)
                second = run_repair(sinks)
                feed.join()
            assert sum(first.published.values()) > 0
            assert sum(second.published.values()) > 0
            assert engine.poll() is None
            with engine_of(sinks) as group:
                ends = {p: group.reader.offset_range(group.topics.ticks, p).end for p in (0, 1)}

                def has_caught_up() -> bool:
                    states = group.committed_states()
                    return all(p in states and states[p].offset >= end for p, end in ends.items())

                until(has_caught_up, _NEVER_S)
        finally:
            engine.terminate()
            engine.wait(60)
    sinks.work_off()
    run_repair(sinks)
    sinks.work_off()
    check_all(sinks)
