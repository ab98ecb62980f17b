"""Kafka, a lake and Trino with real quotes in them, for what works on all three."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import trino as client

from homma.errors import KafkaError
from homma.settings import TopicSettings
from homma.stack import kafka, trino
from homma.stack.archive import read_archive, unpacked
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.aggregate.pipeline import Pipeline
from tests.conftest import jars_cache
from tests.lake import weed
from tests.lake.sinks import Sinks
from tests.real_ticks import TICKS
from tests.stack.waiting import free_ports

ROOT = Path(__file__).parents[2]
NAMESPACE = "market_data"


@dataclass
class Sandbox:
    """What runs, and what programs are told that work with it."""

    pipeline: Pipeline
    sinks: Sinks
    trino_port: int
    environment: Mapping[str, str]
    quotes: pl.DataFrame

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        place = client.dbapi.Connection(
            "127.0.0.1", self.trino_port, "homma", catalog="iceberg", schema=NAMESPACE
        )
        with closing(place) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def frame(self, sql: str, columns: str) -> pl.DataFrame:
        """Rows with these columns, sorted."""
        names = columns.split()
        rows = self.query(f"SELECT {', '.join(names)} FROM {sql}")
        return pl.DataFrame(rows, schema=names, orient="row").sort(names)


def quotes() -> pl.DataFrame:
    """Each third quote of four real days, and another source's, fewer and a little dearer."""
    ticks = pl.read_parquet(TICKS).filter(pl.col("dateTime") < pl.datetime(2014, 5, 6))
    ticks = ticks.gather_every(3)
    dearer = {name: (pl.col(name) * 1.0001).round(6) for name in ("ask", "bid", "mid")}
    other = ticks.gather_every(3).with_columns(pl.lit("SOURCE_2").alias("source"), **dearer)
    return pl.concat([ticks, other.select(ticks.columns)]).sort("dateTime")


@contextmanager
def sandbox(folder: Path, jars: list[Path]) -> Iterator[Sandbox]:
    """Topics by their usual names on a broker of their own, a lake, and Trino over both."""
    port, controller_port, trino_port = free_ports(3)
    bootstrap = f"127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return Admin({"bootstrap.servers": bootstrap}).partitions(2) is not None
        except KafkaError:
            return False

    with (
        kafka.running(folder / "kafka", port, controller_port, jars, ready),
        weed.running(folder / "weed") as lake,
    ):
        pipeline = Pipeline(bootstrap, partitions=2)
        pipeline.topic_settings = TopicSettings(replication_factor=1)
        pipeline.topics = contract.topics(pipeline.topic_settings)
        Admin(pipeline.config).ensure(contract.specs(pipeline.topic_settings, 2), 1)
        environment = trino.lake_environment(lake.properties) | {
            "HOMMA_BOOTSTRAP_SERVERS": bootstrap,
            "HOMMA_TRINO_PORT": str(trino_port),
            "HOMMA_GROUP": pipeline.settings.group,
        }
        sinks = Sinks(pipeline, lake.properties, NAMESPACE, folder)
        found = quotes()
        text = pl.col("dateTime").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")
        half = found.height // 2
        # In two goes, so that a day's ticks are in two files.
        for part in (found.head(half), found.tail(-half)):
            pipeline.send_frame(part.with_columns(text))
            pipeline.work_off()
            sinks.work_off()
        server = unpacked(read_archive("trino"), jars_cache().parent)
        etc = ROOT / "deploy" / "trino"
        node = trino.Node(
            folder / "trino", trino_port, server, etc, environment | {"TZ": "America/New_York"}
        )
        process = trino.start(node)
        try:
            trino.make_views(node)
            yield Sandbox(pipeline, sinks, trino_port, os.environ | environment, found)
        finally:
            process.stop()
