"""The clock of the engine or of the broker jumps by hours: the candles stay the same."""

import json
import os
import shutil
import struct
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from homma.core.interval import CLOCK
from tests.faults.brokers import own_broker
from tests.support import oracle
from tests.support.engines import (
    NOON,
    Engines,
    Feed,
    Progress,
    Record,
    Watch,
    check,
    market,
    record,
)
from tests.support.pipeline import Pipeline, tick

HOUR = timedelta(hours=1)
SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class Clock:
    """The time of day of processes that are started with `environment` (see clock.c)."""

    library: Path
    file: Path

    def set(self, ahead: timedelta) -> None:
        """Set the clock ahead of the machine's, at once."""
        if not self.file.exists():
            self.file.touch()
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", ahead // timedelta(seconds=1)))

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "CLOCK_FILE": str(self.file)}


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    compiler = shutil.which("cc")
    if sys.platform != "linux" or not (compiler or os.environ.get("CI")):
        pytest.skip("setting a clock needs Linux and a C compiler (apt-get install gcc libc6-dev)")
    assert compiler, "the tests of clocks need a C compiler"
    clock = Clock(tmp_path / "clock.so", tmp_path / "clock")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", clock.library, SOURCE], check=True)
    clock.set(timedelta(0))
    return clock


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def updated_at(pipeline: Pipeline) -> datetime:
    """The updateDateTime of the last candle written."""
    [*_, last] = pipeline.records(pipeline.topics.candles[CLOCK.code])
    return datetime.fromisoformat(json.loads(last.value() or b"")["updateDateTime"])


def appended_at(pipeline: Pipeline) -> datetime:
    """The Kafka timestamp of the last tick."""
    [*_, last] = pipeline.records(pipeline.topics.ticks)
    return oracle.EPOCH + timedelta(milliseconds=last.timestamp()[1])


TICKS_PER_PHASE = 2_000
FEED_S = 5


def test_only_update_times_follow_the_engines_clock(
    bootstrap: str, tmp_path: Path, clock: Clock
) -> None:
    pipeline = Pipeline(bootstrap)
    records = market(1, 3 * TICKS_PER_PHASE, 6)
    progress = Progress(pipeline)
    with Watch(pipeline), Engines(pipeline, tmp_path) as engines:
        engine = engines.start(env=clock.environment)
        with Feed(pipeline, records[:TICKS_PER_PHASE], FEED_S):
            progress.reach(TICKS_PER_PHASE)
        clock.set(HOUR)
        with Feed(pipeline, records[TICKS_PER_PHASE : 2 * TICKS_PER_PHASE], FEED_S):
            progress.reach(2 * TICKS_PER_PHASE)
        assert abs(updated_at(pipeline) - now() - HOUR) < HOUR / 2
        with Feed(pipeline, records[2 * TICKS_PER_PHASE :], FEED_S):
            clock.set(timedelta(0))
            # Otherwise the Kafka client's waits would last an hour longer.
            assert "clock was set back by 3600 s" in engine.wait_failed()
            engine = engines.start(env=clock.environment)
        progress.reach(len(records))
        engine.stop()
    check(pipeline)
    end_us = (NOON + HOUR - oracle.EPOCH) // timedelta(microseconds=1)
    later = pipeline.candles().filter(pl.col("end_us") >= end_us)
    assert not later.is_empty()
    assert not later["is_final"].any()


def with_live_ticks(records: list[Record]) -> list[Record]:
    """Replace every fourth record by a tick dated when it is sent."""
    mixed = list(records)
    for number in range(0, len(records), 4):
        at = now() + timedelta(seconds=FEED_S) * number / len(records)
        mixed[number] = record(tick(at.isoformat(timespec="microseconds"), 1.0, number, "LIVE"))
    return mixed


def test_the_brokers_clock_only_affects_the_limit_on_future_ticks(
    jars: list[Path], tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        with monkeypatch.context() as patch:
            for name, value in clock.environment.items():
                patch.setenv(name, value)
            broker = stack.enter_context(own_broker(tmp_path / "kafka", jars))
        pipeline = Pipeline(broker.address)
        records = market(1, 3 * TICKS_PER_PHASE, 6)
        progress = Progress(pipeline)
        stack.enter_context(Watch(pipeline))
        engines = stack.enter_context(Engines(pipeline, tmp_path))
        for number, ahead in enumerate((timedelta(0), HOUR, -HOUR)):
            clock.set(ahead)
            engine = engines.start()
            phase = with_live_ticks(
                records[number * TICKS_PER_PHASE : (number + 1) * TICKS_PER_PHASE]
            )
            with Feed(pipeline, phase[: TICKS_PER_PHASE // 2], FEED_S):
                progress.reach(number * TICKS_PER_PHASE + TICKS_PER_PHASE // 2)
            engine.kill()
            # The next engine processes these ticks, at another time of day.
            with Feed(pipeline, phase[TICKS_PER_PHASE // 2 :], 0):
                pass
            assert abs(appended_at(pipeline) - now() - ahead) < HOUR / 2
        engine = engines.start()
        progress.reach(len(records))
        engine.stop()
        check(pipeline)
        dead = [m.value() or b"" for m in pipeline.records(pipeline.topics.dead)]
        assert any(b"LIVE" in value for value in dead)
