"""The table of `homma status` and `homma up`: what it shows of each process."""

import os
from io import StringIO

import psutil
import pytest
from rich.console import Console

from homma.cli.terminal.stages import (
    Sample,
    StageView,
    describe_verification,
    not_counted,
    stage_table,
    stage_view,
)
from homma.stack.processes.process import State, Status
from homma.stack.processes.usage import Usage, usage_of

STATUS = Status("aggregate", State.RUNNING, 0.0, pid=7, created=1.0)


def sample(at_s: float, ticks: float | None, cpu_s: float | None, pid: int = 7) -> Sample:
    metrics = None if ticks is None else {"homma_ticks_read_total": ticks, "homma_lag_ticks": 5.0}
    return Sample(at_s, pid, metrics, None if cpu_s is None else Usage(3_000_000, cpu_s))


def test_the_usage_of_a_process_is_its_memory_and_its_cpu_time() -> None:
    created = psutil.Process().create_time()
    before = usage_of(os.getpid(), created)
    assert before is not None
    assert before.memory_bytes > 10_000_000
    while sum(os.times()[:2]) - before.cpu_s < 0.1:
        pass
    after = usage_of(os.getpid(), created)
    assert after is not None
    assert after.cpu_s > before.cpu_s


def test_a_process_that_has_ended_has_no_usage() -> None:
    assert usage_of(None, None) is None
    # Another process has got its pid.
    assert usage_of(os.getpid(), 1.0) is None


def test_rates_are_those_between_two_samples() -> None:
    view = stage_view(STATUS, "", sample(10, 100, 4), sample(12, 300, 5))
    assert (view.ticks_per_s, view.cpu, view.lag, view.memory_bytes) == (100, 0.5, 5, 3_000_000)


def test_a_process_that_has_just_started_has_no_rates_yet() -> None:
    for before in (None, sample(10, 900, 60, pid=6)):
        view = stage_view(STATUS, "", before, sample(12, 300, 5))
        assert (view.ticks_per_s, view.cpu, view.memory_bytes) == (None, None, 3_000_000)


def test_what_is_not_known_is_empty() -> None:
    view = stage_view(STATUS, "", sample(10, None, None), sample(12, None, None))
    assert view == StageView(STATUS, None, None, None, None, "")


@pytest.mark.parametrize(
    ("at_s", "wrong", "text"),
    [
        (0, 0, "not verified yet"),
        (940, 0, "no candle is wrong, verified 60 s ago"),
        (940, 3, "3 candles are wrong, verified 60 s ago"),
    ],
)
def test_a_verifier_is_described_by_its_last_comparison(
    at_s: float, wrong: float, text: str
) -> None:
    metrics = {"homma_verified_timestamp_seconds": at_s, "homma_candles_wrong": wrong}
    assert describe_verification(metrics, 1_000) == text
    assert describe_verification({"homma_series": 4.0}, 1_000) == ""


def test_an_engine_is_described_by_the_ticks_that_it_did_not_count() -> None:
    metrics = {"homma_ticks_read_total": 9.0, "homma_ticks_dead_total": 0.0}
    assert not_counted(metrics) == []
    metrics |= {"homma_ticks_dropped_late_total": 1_044.0, "homma_ticks_duplicate_total": 2.0}
    assert not_counted(metrics) == ["1,044 dropped as late", "2 duplicates"]


def test_the_table_fits_a_terminal_of_100_columns() -> None:
    views = [
        StageView(STATUS, 123_456.0, 1_234_567.0, 1.99, 1_234_000_000, "20 series"),
        StageView(STATUS, None, None, None, None, "S3 on port 8333, catalog on port 8181"),
    ]
    out = StringIO()
    Console(file=out, width=100).print(stage_table(views))
    _, first, *_ = out.getvalue().splitlines()
    assert first.split() == (
        ["aggregate", "running", "7", "199%", "1,234", "MB", "123,456", "1,234,567", "20", "series"]
    )
