"""A clock jumps by hours, the engine's or the broker's: the candles don't know of it."""

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

from homma.core.interval import COARSEST
from tests import oracle
from tests.aggregate.pipeline import Pipeline, tick
from tests.faults.brokers import own_broker
from tests.faults.engines import (
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

HOUR = timedelta(hours=1)
SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class Clock:
    """The time of day of processes that are started with `environment` (see clock.c)."""

    library: Path
    file: Path

    def set(self, ahead: timedelta) -> None:
        """So far ahead of the machine's, at once."""
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
        pytest.skip("a clock to set needs Linux and a C compiler (apt-get install gcc libc6-dev)")
    assert compiler, "the tests of clocks need a C compiler"
    made = Clock(tmp_path / "clock.so", tmp_path / "clock")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made.library, SOURCE], check=True)
    made.set(timedelta(0))
    return made


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def updated_at(pipeline: Pipeline) -> datetime:
    """The updateDateTime of the last candle written."""
    [*_, last] = pipeline.records(pipeline.topics.candles[COARSEST])
    return datetime.fromisoformat(json.loads(last.value() or b"")["updateDateTime"])


def appended_at(pipeline: Pipeline) -> datetime:
    """The Kafka timestamp of the last tick."""
    [*_, last] = pipeline.records(pipeline.topics.ticks)
    return oracle.EPOCH + timedelta(milliseconds=last.timestamp()[1])


EACH = 2_000
OVER_S = 5


def test_only_update_times_follow_the_engines_clock(
    bootstrap: str, tmp_path: Path, clock: Clock
) -> None:
    pipeline = Pipeline(bootstrap)
    records = market(1, 3 * EACH, 6)
    progress = Progress(pipeline)
    with Watch(pipeline), Engines(pipeline, tmp_path) as engines:
        engine = engines.start(env=clock.environment)
        with Feed(pipeline, records[:EACH], OVER_S):
            progress.reach(EACH)
        clock.set(HOUR)
        with Feed(pipeline, records[EACH : 2 * EACH], OVER_S):
            progress.reach(2 * EACH)
        assert abs(updated_at(pipeline) - now() - HOUR) < HOUR / 2
        with Feed(pipeline, records[2 * EACH :], OVER_S):
            clock.set(timedelta(0))
            # The Kafka client's waits would last an hour longer.
            assert "clock was set back by 3600 s" in engine.ended_with_a_sentence()
            engine = engines.start(env=clock.environment)
        progress.reach(len(records))
        engine.stop()
    check(pipeline)
    end_us = (NOON + HOUR - oracle.EPOCH) // timedelta(microseconds=1)
    later = pipeline.candles().filter(pl.col("end_us") >= end_us)
    assert not later.is_empty()
    assert not later["is_final"].any()


def lively(records: list[Record]) -> list[Record]:
    """Each fourth of them a tick dated when it is sent."""
    mixed = list(records)
    for number in range(0, len(records), 4):
        at = now() + timedelta(seconds=OVER_S) * number / len(records)
        mixed[number] = record(tick(at.isoformat(timespec="microseconds"), 1.0, number, "LIVE"))
    return mixed


def test_the_brokers_clock_decides_about_the_future_alone(
    jars: list[Path], tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        with monkeypatch.context() as here:
            for name, value in clock.environment.items():
                here.setenv(name, value)
            broker = stack.enter_context(own_broker(tmp_path / "kafka", jars))
        pipeline = Pipeline(broker.address)
        records = market(1, 3 * EACH, 6)
        progress = Progress(pipeline)
        stack.enter_context(Watch(pipeline))
        engines = stack.enter_context(Engines(pipeline, tmp_path))
        for number, ahead in enumerate((timedelta(0), HOUR, -HOUR)):
            clock.set(ahead)
            engine = engines.start()
            some = lively(records[number * EACH : (number + 1) * EACH])
            with Feed(pipeline, some[: EACH // 2], OVER_S):
                progress.reach(number * EACH + EACH // 2)
            engine.kill()
            # What comes now is worked off by the next engine, at another hour.
            with Feed(pipeline, some[EACH // 2 :], 0):
                pass
            assert abs(appended_at(pipeline) - now() - ahead) < HOUR / 2
        engine = engines.start()
        progress.reach(len(records))
        engine.stop()
        check(pipeline)
        dead = [m.value() or b"" for m in pipeline.records(pipeline.topics.dead)]
        assert any(b"LIVE" in value for value in dead)
