"""`homma land` beside a pipeline of its own, and what must hold afterwards."""

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
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table

from homma.errors import HommaError, TableMismatch
from homma.failpoint import Step, ignored
from homma.lake.job import Landing, LandingTopics, landing
from homma.lake.schema import TABLES, TICKS
from homma.lake.table import Lake
from homma.metrics import LAND as METRICS
from homma.metrics import Metrics
from homma.settings import LandSettings
from homma.topics.kafka.admin import Admin
from tests import oracle
from tests.aggregate.pipeline import Pipeline
from tests.aggregate.pipeline import until as wait_until
from tests.faults.engines import Feed, Running, market

#: The steps that land has.
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
KEY = ["source", "symbol", "date_time"]


@dataclass
class Sinks:
    """The sinks of one test; whatever happens, none outlives it."""

    pipeline: Pipeline
    properties: Mapping[str, str]
    namespace: str
    folder: Path
    all: list[Running] = field(default_factory=list)
    metrics: Metrics = field(default_factory=lambda: Metrics(METRICS))

    def argv(self, properties: Mapping[str, str]) -> list[str]:
        pipeline = self.pipeline
        named = {"uri": "--catalog-uri", "s3.endpoint": "--s3-endpoint"}
        given = [word for name, flag in named.items() for word in (flag, properties[name])]
        return [
            sys.executable,
            "-m",
            "homma",
            "land",
            "--bootstrap.servers",
            pipeline.bootstrap,
            "--topic",
            pipeline.topics.ticks,
            "--candle-topic",
            pipeline.name + "_{name}",
            "--namespace",
            self.namespace,
            *given,
            # Whoever is made to wait is not to wait as long as a broker may take.
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
        """`homma land` as a process; `through` are properties that lead through a proxy."""
        properties = through or self.properties
        log = self.folder / f"sink{len(self.all)}.log"
        login = {
            "AWS_ACCESS_KEY_ID": properties["s3.access-key-id"],
            "AWS_SECRET_ACCESS_KEY": properties["s3.secret-access-key"],
        }
        with log.open("wb") as said:
            process = subprocess.Popen(
                [*self.argv(properties), "--commit-every", "200ms", *flags],
                env={**os.environ, **login, **(env or {})},
                stderr=said,
            )
        running = Running(process, log)
        self.all.append(running)
        return running

    @contextmanager
    def here(
        self,
        stopped: Callable[[], bool] = lambda: False,
        through: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Iterator[Landing]:
        """A sink in this process."""
        quick = {"s3.connect-timeout": "2", "s3.request-timeout": "2"}
        lake = Lake({**(through or self.properties), **quick}, self.namespace, answer_s=2.0)
        sources = LandingTopics(
            self.pipeline.config, self.pipeline.topics, Admin(self.pipeline.config)
        )
        try:
            yield landing(lake, sources, LandSettings(**settings), self.metrics, stopped, ignored)
        finally:
            lake.close()

    @contextmanager
    def beside(self, through: Mapping[str, str] | None = None, **settings: Any) -> Iterator[None]:
        """A sink in a thread, for the length of a with block; what it raises, is raised."""
        stop, failed = threading.Event(), []
        pace = {"commit_every": timedelta(milliseconds=200), **settings}

        def run(sink: Landing) -> None:
            try:
                sink.run(stop.is_set)
            except HommaError as error:
                failed.append(error)

        with self.here(stop.is_set, through, **pace) as sink:
            thread = threading.Thread(target=run, args=(sink,))
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join(120)
        assert not thread.is_alive(), "it does not end"
        if failed:
            raise failed[0]

    def commits(self, outcome: str = "committed") -> float:
        """How many commits of the sinks in this process ended so."""
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "homma_lake_commits_total" and sample.labels["outcome"] == outcome
        )

    def held(self) -> int:
        """How far the lake holds the ticks, all partitions together."""
        lake = Lake(self.properties, self.namespace)
        try:
            offsets = lake.table(TICKS).offsets()
            return sum(offsets.next.values()) if offsets else 0
        except TableMismatch:
            return 0
        finally:
            lake.close()

    def work_off(self, **settings: Any) -> None:
        """Land what is there, to its end."""
        with self.here(until_end=True, **settings) as sink:
            sink.run(lambda: False)

    def __enter__(self) -> "Sinks":
        return self

    def __exit__(self, *failed: object) -> None:
        for number, running in enumerate(self.all):
            running.kill()
            if failed[0] is not None:
                print(f"--- sink {number}, status {running.process.returncode}")
                print("\n".join(running.said().splitlines()[-40:]))

    # --- what is in the lake, by pyiceberg's own client ------------------------------------------

    def table(self, name: str) -> Table:
        catalog = load_catalog("theirs", type="rest", **self.properties)
        return catalog.load_table((self.namespace, name))

    def rows(self, name: str) -> pl.DataFrame:
        found = pl.from_arrow(self.table(name).scan().to_arrow())
        assert isinstance(found, pl.DataFrame)
        return found

    def check(self) -> int:
        """The lake holds what the topics hold; how many ticks that are."""
        for spec in TABLES[1:]:
            self.check_candles(spec.name, self.pipeline.topics.candles[spec.interval or 0])
        return self.check_ticks()

    def check_ticks(self) -> int:
        """The ticks are the valid records of the topic, each once, with what they say."""
        wanted = []
        for message in self.pipeline.records(self.pipeline.topics.ticks):
            read = oracle.read(message.value())
            if not isinstance(read, str):
                place = (message.partition(), message.offset())
                wanted.append(
                    (
                        *place,
                        read["source"],
                        read["symbol"],
                        read["mid"],
                        read["number"],
                        oracle.at_of(read),
                    )
                )
        rows = self.rows("stock_ticks_iceberg")
        found = rows.select(
            "kafka_partition",
            "kafka_offset",
            "source",
            "symbol",
            "mid",
            "number",
            pl.col("date_time").dt.replace_time_zone(None),
        )
        assert sorted(found.rows()) == sorted(wanted)
        return len(wanted)

    def check_candles(self, name: str, topic: str) -> None:
        """The candles are the newest records of the topic, one row a key."""
        rows = self.rows(name)
        assert rows.select(KEY).is_unique().all(), f"{name} has a key twice"
        candles = self.pipeline.candles()
        code = self.pipeline.topics.candles.index(topic)
        wanted = candles.filter(pl.col("interval") == code).select(
            "source",
            "symbol",
            pl.from_epoch("start_us", "us").alias("date_time"),
            "open",
            "high",
            "low",
            "close",
            "volume",
            "is_final",
            "revision",
        )
        found = rows.select(
            pl.col("date_time").dt.replace_time_zone(None) if c == "date_time" else c
            for c in wanted.columns
        )
        assert found.sort(KEY).equals(wanted.sort(KEY)), name


def until(met: Callable[[], bool]) -> None:
    """Wait for something to come true, on a machine that is busy with a broker and a lake."""
    wait_until(met, within_s=200)


@contextmanager
def at_work(sinks: Sinks, seed: int = 1, lasts_s: int = 500) -> Iterator[Feed]:
    """Ticks come in and are made candles of, evenly, longer than the test lasts."""
    with (
        Feed(sinks.pipeline, market(seed, 100 * lasts_s, 8), lasts_s) as feed,
        sinks.pipeline.running(),
    ):
        yield feed
        feed.stop()
        until(lambda: sinks.pipeline.counted("homma_ticks_read") >= feed.sent)
