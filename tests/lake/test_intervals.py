"""Intervals added to and removed from a running installation, and how repair fills them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.core.calendar import Calendar, calendar_of
from homma.core.finality import FinalityRules
from homma.core.interval import BY_CODE
from homma.core.recompute import EventSpan
from homma.errors import StateError, TableMismatch
from homma.lake.audit.counted_ticks import SeriesFilter
from homma.lake.audit.engine import CommittedState
from homma.lake.audit.late import late_keys
from homma.lake.audit.repair import RepairReport, repair
from homma.lake.audit.verify import Scope
from homma.lake.schema import candle_table
from tests.lake.truth import truth
from tests.support.engines import Feed, Record, market
from tests.support.landing import counts, engine_of, lake_of, verified
from tests.support.pipeline import Pipeline, same_candles, tick, until
from tests.support.sinks import Sinks

BEFORE = calendar_of(["m1", "h1", "D1", "M1"])
AFTER = calendar_of([*BEFORE.codes, "h2", "h12"])
NEW = ("h2", "h12")
DAY = "2025-03-20T"


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    pipeline = Pipeline(bootstrap, partitions=2, calendar=BEFORE)
    return Sinks(pipeline, lake, namespace, tmp_path)


def send(sinks: Sinks, records: Sequence[Record]) -> None:
    with Feed(sinks.pipeline, records, 0) as feed:
        feed.join()


def work(sinks: Sinks) -> None:
    sinks.pipeline.work_off()
    sinks.work_off()


def run_repair(
    sinks: Sinks, calendar: Calendar | None = None, *, dry_run: bool = False, **scope: Any
) -> RepairReport:
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        return repair(
            lake,
            engine,
            Scope(calendar or sinks.pipeline.calendar, **scope),
            FinalityRules(),
            lambda: time.time_ns() // 1000,
            dry_run=dry_run,
        )


def states(sinks: Sinks) -> dict[int, CommittedState]:
    with engine_of(sinks) as engine:
        return dict(engine.committed_states())


def begins(sinks: Sinks) -> list[list[str]]:
    """By partition: the intervals whose earlier candles the engine withholds."""
    return [sorted(state.metadata.begin) for _, state in sorted(states(sinks).items())]


def check_all(sinks: Sinks) -> None:
    """Check that topics and tables hold the candles of all ticks."""
    expected = truth(sinks)
    same_candles(sinks.pipeline.candles(), expected)
    assert counts(verified(sinks)) == ({"equal": expected.height}, {"equal": expected.height})


def new_candles(sinks: Sinks) -> pl.DataFrame:
    return sinks.pipeline.candles().filter(pl.col("interval").is_in(list(NEW)))


def test_an_added_interval_is_filled_and_continued(sinks: Sinks) -> None:
    records = market(41, 9_000, 4, noisy=False)
    send(sinks, records[:4_000])
    work(sinks)
    sinks.pipeline.choose(AFTER)
    # The engine has not been started with the new intervals yet.
    for run in (verified, run_repair):
        with pytest.raises((StateError, TableMismatch)):
            run(sinks)
    send(sinks, records[4_000:6_000])
    work(sinks)
    assert begins(sinks) == [sorted(NEW)] * 2
    withheld = verified(sinks)
    assert withheld.topic is not None
    assert {code for code, verdict in withheld.topic.counts if verdict == "missing"} == set(NEW)
    # Neither a part nor a dry run hands candles over.
    part = run_repair(sinks, series=SeriesFilter("SYM0"))
    assert sum(part.published.values()) > 0
    run_repair(sinks, span=EventSpan(1, 2))
    run_repair(sinks, dry_run=True)
    assert begins(sinks) == [sorted(NEW)] * 2
    # After a part, the engine does not continue what it withholds.
    send(sinks, records[6_000:7_000])
    work(sinks)
    report = run_repair(sinks)
    assert report.handed_over == set(NEW)
    assert set(report.published) == set(NEW)
    assert begins(sinks) == [[], []]
    open_candles = new_candles(sinks).filter(~pl.col("is_final"))
    assert set(open_candles["interval"]) == set(NEW)
    sinks.work_off()
    check_all(sinks)
    # From now on, the engine continues the open candles and corrects the final ones.
    for first in (7_000, 8_000):
        send(sinks, records[first : first + 1_000])
        work(sinks)
        check_all(sinks)
        assert begins(sinks) == [[], []]
    report = run_repair(sinks)
    assert (report.published, report.handed_over) == ({}, set())


def test_the_engine_is_killed_while_candles_are_handed_over(sinks: Sinks) -> None:
    records = market(42, 12_000, 4, noisy=False)
    send(sinks, records[:4_000])
    work(sinks)
    sinks.pipeline.choose(AFTER)
    engine = sinks.pipeline.process("--emit-every", "100ms")
    try:
        with Feed(sinks.pipeline, records[4_000:], 30) as feed:
            until(lambda: begins(sinks) == [sorted(NEW)] * 2, 120)
            sinks.work_off()
            report = run_repair(sinks)
            assert report.handed_over == set(NEW)
            assert engine.poll() is None
            engine.kill()
            engine.wait(60)
            engine = sinks.pipeline.process("--emit-every", "100ms")
            feed.join()
    finally:
        engine.terminate()
        engine.wait(60)
    work(sinks)
    assert begins(sinks) == [[], []]
    check_all(sinks)


def test_ticks_that_are_not_landed_are_handed_over(sinks: Sinks) -> None:
    """Ticks before `begin`, counted after the last landing, of a known and of a new series."""
    ticks = [tick(f"{DAY}12:{n:02}:00", 1 + n, n, symbol=f"S{n % 5}") for n in range(30)]
    sinks.pipeline.send(*ticks, tick(DAY + "17:30:00", 9, 99, symbol="FAST"))
    work(sinks)
    sinks.pipeline.choose(AFTER)
    more = [tick(f"{DAY}12:{30 + n}:00", 2 + n, 30 + n, symbol=f"S{n % 5}") for n in range(10)]
    sinks.pipeline.send(*more)
    work(sinks)
    late_series = [tick(f"{DAY}13:0{n}:00", n + 1, n, symbol=f"NEW{n}") for n in range(6)]
    sinks.pipeline.send(
        *late_series, *(tick(f"{DAY}12:45:00", 7, 70, symbol=f"S{n}") for n in range(5))
    )
    sinks.pipeline.work_off()
    report = run_repair(sinks)
    assert report.handed_over == set(NEW)
    same_candles(sinks.pipeline.candles(), truth(sinks))
    sinks.pipeline.send(*(tick(f"{DAY}13:10:00", 8, 80, symbol=s) for s in ("S1", "NEW2")))
    work(sinks)
    check_all(sinks)


def test_a_rebuilt_engine_continues_repaired_candles(bootstrap: str, sinks: Sinks) -> None:
    """After a rebuild without its oldest ticks, also candles that are right are handed over."""
    pipeline = sinks.pipeline = Pipeline(bootstrap, calendar=BEFORE)
    pipeline.send(*(tick(f"{DAY}12:{n:02}:00", 1 + n, n, symbol="DORMANT") for n in range(3)))
    pipeline.send(*(tick(f"{DAY}12:{n:02}:00", 1 + n, n, symbol=f"S{n % 4}") for n in range(40)))
    work(sinks)
    expected = truth(sinks)
    sinks.delete_ticks(20)
    pipeline.work_off(rebuild=True)
    assert any(begins(sinks))
    report = run_repair(sinks)
    assert report.handed_over == set(BEFORE.codes)
    assert not any(begins(sinks))
    same_candles(pipeline.candles(), expected)
    assert run_repair(sinks).published == {}
    # The next ticks of open candles, and of a series without ticks in Kafka.
    more = [tick(f"{DAY}13:0{n}:00", 50 + n, 50 + n, symbol=f"S{n % 4}") for n in range(8)]
    last = tick(DAY + "13:09:00", 70, 70, symbol="DORMANT")
    pipeline.send(*more, last)
    work(sinks)
    candles = pipeline.candles()
    days = candles.filter(pl.col("interval") == "D1").sort("symbol")
    volumes = dict(days.select("symbol", "volume").rows())
    assert volumes == {"DORMANT": 4, **{f"S{n}": 12 for n in range(4)}}
    assert verified(sinks).wrong == 0


def test_other_intervals_than_the_engine_has_are_refused(sinks: Sinks) -> None:
    sinks.pipeline.send(tick(DAY + "12:00:00"))
    work(sinks)
    for codes in (("m1", "h1"), ("m1", "h1", "D1", "W1", "M1")):
        sinks.pipeline.choose(calendar_of(codes))
        sinks.work_off()
        for run in (verified, run_repair):
            with pytest.raises(
                StateError,
                match="has the intervals m1,h1,D1,M1, but --intervals is "
                f"{','.join(codes)}; set --intervals m1,h1,D1,M1",
            ):
                run(sinks)


def test_months_that_were_not_chosen_are_nobodys(sinks: Sinks) -> None:
    without = calendar_of(["m1", "s10"])
    sinks.pipeline.choose(without)
    send(sinks, market(43, 3_000, 4))
    work(sinks)
    # The engine aggregates them, and nobody else has them.
    internal = sinks.pipeline.topics.candles["M1"]
    months = len(sinks.pipeline.records(internal))
    assert months > 0
    with lake_of(sinks) as lake:
        assert not lake.has_table(candle_table(BY_CODE["M1"]))
        with engine_of(sinks) as engine:
            keys = late_keys(engine.reader, engine.topics.late, engine.partitions, without)
    assert set(keys["interval"]) == {"m1", "s10"}
    report = verified(sinks)
    assert report.topic is not None
    assert {code for code, _ in report.topic.counts} == {"m1", "s10"}
    assert report.wrong > 0
    assert set(run_repair(sinks).published) == {"m1", "s10"}
    assert len(sinks.pipeline.records(internal)) == months
    sinks.work_off()
    check_all(sinks)


def test_candles_of_a_removed_interval_are_nobodys(sinks: Sinks) -> None:
    records = market(44, 4_000, 4, noisy=False)
    send(sinks, records[:2_000])
    work(sinks)
    hours = len(sinks.pipeline.records(sinks.pipeline.topics.candles["h1"]))
    sinks.pipeline.choose(calendar_of(["m1", "D1", "M1"]))
    send(sinks, records[2_000:])
    work(sinks)
    assert all(state.metadata.intervals == ("m1", "D1", "M1") for state in states(sinks).values())
    check_all(sinks)
    assert run_repair(sinks).removed == {}
    # Chosen again, the interval is like a new one.
    sinks.pipeline.choose(BEFORE)
    assert len(sinks.pipeline.records(sinks.pipeline.topics.candles["h1"])) == hours
    send(sinks, market(44, 4_400, 4, noisy=False)[4_000:])
    work(sinks)
    assert begins(sinks) == [["h1"]] * 2
    run_repair(sinks)
    sinks.work_off()
    assert begins(sinks) == [[], []]
    check_all(sinks)
