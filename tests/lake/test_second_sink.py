"""The landing loop lands into a sink of another kind, exactly once."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from homma.cli.options import FAILPOINT
from homma.core.calendar import DEFAULT_CALENDAR
from homma.errors import StaleSink, StateError
from homma.failpoint import Step
from homma.lake.land.loop import Landing, LandingTopics, open_landing
from homma.lake.land.sink import SourceTopic
from homma.lake.schema import tables
from homma.metrics import LAND, Metrics
from homma.settings import LandSettings
from homma.topics.kafka.admin import Admin
from tests.lake.sqlite_sinks import rows_of, sqlite_sinks
from tests.support.engines import Feed, Running, market
from tests.support.landed import Landed
from tests.support.pipeline import Pipeline
from tests.support.sinks import at_work

STEPS = (Step.LANDING, Step.UPLOADED, Step.ASKING, Step.ANSWERED, Step.LANDED)


@dataclass
class Sqlite(Landed):
    """The sinks of a pipeline, which write to one file."""

    pipeline: Pipeline
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "landed.sqlite"

    def rows(self, name: str) -> pl.DataFrame:
        [spec] = [spec for spec in tables(DEFAULT_CALENDAR) if spec.name == name]
        return rows_of(self.file, spec)

    def opened(self) -> Landing:
        config, metrics = self.pipeline.config, Metrics(LAND)
        topics = LandingTopics(config, self.pipeline.topics, Admin(config))
        sinks = sqlite_sinks(self.file, metrics)
        return open_landing(sinks, topics, LandSettings(until_end=True), metrics)

    def work_off(self) -> None:
        self.opened().run(lambda: False)

    @contextmanager
    def process(self, step: str) -> Iterator[Running]:
        """A process that kills itself at a step."""
        pipeline, log = self.pipeline, self.folder / "sqlite.log"
        module = [sys.executable, "-m", "tests.lake.sqlite_sinks"]
        topics = [pipeline.topics.ticks, pipeline.name + "_{name}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*module, pipeline.bootstrap, *topics, str(self.file)],
                env={**os.environ, FAILPOINT: step},
                stderr=output,
            )
        running = Running(process, log)
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture
def sqlite(bootstrap: str, tmp_path: Path) -> Sqlite:
    return Sqlite(Pipeline(bootstrap, partitions=2), tmp_path)


def test_ticks_and_candles_are_landed_and_corrected(sqlite: Sqlite) -> None:
    records = market(1, 6_000, 8)
    for part in (records[:3_000], records[3_000:3_100], records[3_100:]):
        with Feed(sqlite.pipeline, part, 0) as feed:
            feed.join()
        sqlite.pipeline.work_off()
        sqlite.work_off()
        assert sqlite.check() > 0


def test_killed_at_each_step_of_a_commit(sqlite: Sqlite) -> None:
    chance = random.Random(1)
    steps = [f"{step}:{chance.randint(1, 30)}" for step in STEPS * 2]
    chance.shuffle(steps)
    with at_work(sqlite):
        for step in steps:
            with sqlite.process(step) as sink:
                sink.wait_killed(240)
    sqlite.work_off()
    assert sqlite.check() > 0


def test_an_earlier_sink_stores_nothing_more(sqlite: Sqlite) -> None:
    with Feed(sqlite.pipeline, market(2, 500, 4), 0) as feed:
        feed.join()
    sqlite.pipeline.work_off()
    earlier, later = sqlite.opened(), sqlite.opened()
    with pytest.raises(StaleSink, match="another sink has taken over"):
        earlier.run(lambda: False)
    assert all(sqlite.rows(spec.name).is_empty() for spec in tables(DEFAULT_CALENDAR))
    later.run(lambda: False)
    assert sqlite.check() > 0


def test_a_topic_is_the_same_by_name_and_id() -> None:
    source = SourceTopic("ticks", "1", None)
    source.require_same("table", "ticks", "1")
    with pytest.raises(StateError, match="table was filled from the topic others, not ticks"):
        source.require_same("table", "others", "1")
    with pytest.raises(StateError, match="ticks was deleted and created again, but table was"):
        source.require_same("table", "ticks", "0")
