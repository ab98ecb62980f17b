"""`homma land` for a pipeline of its own, and checks of the lake."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table

from homma.errors import HommaError, TableMismatch
from homma.failpoint import Step, ignore_step
from homma.lake.land.iceberg.opening import iceberg_sinks
from homma.lake.land.loop import Landing, LandingTopics, open_landing
from homma.lake.schema import TICKS
from homma.lake.table import Lake
from homma.metrics import LAND as METRICS
from homma.metrics import Metrics
from homma.settings import LandSettings
from homma.topics.kafka.admin import Admin
from tests.support.engines import Feed, Running, market
from tests.support.landed import Landed
from tests.support.pipeline import Pipeline
from tests.support.pipeline import until as wait_until

#: The steps of `homma land`.
LAND = {
    Step.LANDING,
    Step.UPLOADED,
    Step.ASKING,
    Step.ANSWERED,
    Step.LANDED,
    Step.EXPIRED,
    Step.SWEEPING,
    Step.COMPACTED,
}


@dataclass
class Sinks(Landed):
    """The sinks of one test; all are stopped at its end."""

    pipeline: Pipeline
    properties: Mapping[str, str]
    namespace: str
    folder: Path
    all: list[Running] = field(default_factory=list)
    metrics: Metrics = field(default_factory=lambda: Metrics(METRICS))

    def argv(self, properties: Mapping[str, str]) -> list[str]:
        return [sys.executable, "-m", "homma", "land", *self.flags(properties)]

    def flags(self, properties: Mapping[str, str]) -> list[str]:
        """The flags of commands that use the topics and the lake."""
        pipeline = self.pipeline
        flags = {"uri": "--catalog-uri", "s3.endpoint": "--s3-endpoint"}
        addresses = [word for name, flag in flags.items() for word in (flag, properties[name])]
        return [
            "--bootstrap.servers",
            pipeline.bootstrap,
            "--topic",
            pipeline.topics.ticks,
            "--candle-topic",
            pipeline.name + "_{name}",
            "--intervals",
            str(pipeline.calendar),
            "--namespace",
            self.namespace,
            *addresses,
            # Short timeouts: faults are frequent in these tests.
            "-C",
            "s3.connect-timeout=2",
            "-C",
            "s3.request-timeout=3",
        ]

    def start(
        self,
        *flags: str,
        env: Mapping[str, str] | None = None,
        through: Mapping[str, str] | None = None,
    ) -> Running:
        """Start `homma land` as a process; `through` has the properties of a proxy."""
        properties = through or self.properties
        log = self.folder / f"sink{len(self.all)}.log"
        login = {
            "AWS_ACCESS_KEY_ID": properties["s3.access-key-id"],
            "AWS_SECRET_ACCESS_KEY": properties["s3.secret-access-key"],
        }
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                [*self.argv(properties), "--commit-every", "200ms", *flags],
                env={**os.environ, **login, **(env or {})},
                stderr=log_file,
            )
        running = Running(process, log)
        self.all.append(running)
        return running

    @contextmanager
    def opened(
        self,
        stopped: Callable[[], bool] = lambda: False,
        through: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Iterator[Landing]:
        """A sink in this process."""
        quick = {"s3.connect-timeout": "2", "s3.request-timeout": "2"}
        lake = Lake({**(through or self.properties), **quick}, self.namespace, answer_timeout_s=2.0)
        chosen = LandSettings(**settings)
        sinks = iceberg_sinks(lake, chosen, self.metrics, stopped, ignore_step)
        try:
            yield open_landing(sinks, self.topics(), chosen, self.metrics)
        finally:
            lake.close()

    def topics(self) -> LandingTopics:
        """The topics of the pipeline."""
        config = self.pipeline.config
        return LandingTopics(config, self.pipeline.topics, Admin(config))

    @contextmanager
    def running(self, through: Mapping[str, str] | None = None, **settings: Any) -> Iterator[None]:
        """Run a sink in a thread during a with block; its errors are raised."""
        stop, failed = threading.Event(), []
        pace = {"commit_every": timedelta(milliseconds=200), **settings}

        def run(sink: Landing) -> None:
            try:
                sink.run(stop.is_set)
            except HommaError as error:
                failed.append(error)

        with self.opened(stop.is_set, through, **pace) as sink:
            thread = threading.Thread(target=run, args=(sink,))
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join(120)
        assert not thread.is_alive(), "the sink does not end"
        if failed:
            raise failed[0]

    def commits(self, outcome: str = "committed") -> float:
        """The number of commits of sinks in this process with an outcome."""
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "homma_lake_commits_total" and sample.labels["outcome"] == outcome
        )

    def landed_offsets(self) -> int:
        """The offsets of the tick table, added up over all partitions."""
        lake = Lake(self.properties, self.namespace)
        try:
            offsets = lake.table(TICKS).offsets()
            return sum(offsets.next.values()) if offsets else 0
        except TableMismatch:
            return 0
        finally:
            lake.close()

    def delete_ticks(self, before: int) -> None:
        """Delete the ticks before an offset from every partition, like retention."""
        client, topic = AdminClient(dict(self.pipeline.config)), self.pipeline.topics.ticks
        ends = Admin(self.pipeline.config).partitions()[topic]
        positions = [TopicPartition(topic, number, before) for number in range(ends)]
        for deleted in client.delete_records(positions).values():
            deleted.result(30)

    def work_off(self, **settings: Any) -> None:
        """Land everything up to the ends of the topics."""
        with self.opened(until_end=True, **settings) as sink:
            sink.run(lambda: False)

    def __enter__(self) -> "Sinks":
        return self

    def __exit__(self, *failed: object) -> None:
        for number, running in enumerate(self.all):
            running.kill()
            if failed[0] is not None:
                print(f"--- sink {number}, status {running.process.returncode}")
                print("\n".join(running.output().splitlines()[-40:]))

    # --- the content of the lake, by pyiceberg's own client --------------------------------------

    def table(self, name: str) -> Table:
        catalog = load_catalog("theirs", type="rest", **self.properties)
        return catalog.load_table((self.namespace, name))

    def rows(self, name: str) -> pl.DataFrame:
        rows = pl.from_arrow(self.table(name).scan().to_arrow())
        assert isinstance(rows, pl.DataFrame)
        return rows


def until(met: Callable[[], bool]) -> None:
    """Wait for a condition; patiently, as the machine also runs a broker and a lake."""
    wait_until(met, timeout_s=200)


@contextmanager
def at_work(sinks: Landed, seed: int = 1, lasts_s: int = 500) -> Iterator[Feed]:
    """Feed ticks evenly and build candles, for longer than the test lasts."""
    with (
        Feed(sinks.pipeline, market(seed, 100 * lasts_s, 8), lasts_s) as feed,
        sinks.pipeline.running(),
    ):
        yield feed
        feed.stop()
        until(lambda: sinks.pipeline.counted("homma_ticks_read") >= feed.sent)
