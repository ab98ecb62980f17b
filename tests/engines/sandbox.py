"""Kafka, a lake and Trino with real quotes, for dbt and Airflow."""

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
from homma.stack.downloads.archive import ensure_unpacked, read_archive
from homma.stack.servers import kafka, trino
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.support import weed
from tests.support.jars import jars_cache
from tests.support.pipeline import Pipeline
from tests.support.real_ticks import TICKS
from tests.support.sinks import Sinks
from tests.support.waiting import free_ports

ROOT = Path(__file__).parents[2]
NAMESPACE = "market_data"


@dataclass
class Sandbox:
    """The running servers, and the environment variables for programs that use them."""

    pipeline: Pipeline
    sinks: Sinks
    trino_port: int
    environment: Mapping[str, str]
    quotes: pl.DataFrame

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connecting = client.dbapi.Connection(
            "127.0.0.1", self.trino_port, "homma", catalog="iceberg", schema=NAMESPACE
        )
        with closing(connecting) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def frame(self, sql: str, columns: str) -> pl.DataFrame:
        """Rows with the given columns, sorted."""
        names = columns.split()
        rows = self.query(f"SELECT {', '.join(names)} FROM {sql}")
        return pl.DataFrame(rows, schema=names, orient="row").sort(names)


def quotes() -> pl.DataFrame:
    """Every third quote of four real days, and a second source with slightly higher quotes."""
    ticks = pl.read_parquet(TICKS).filter(pl.col("dateTime") < pl.datetime(2014, 5, 6))
    ticks = ticks.gather_every(3)
    higher = {name: (pl.col(name) * 1.0001).round(6) for name in ("ask", "bid", "mid")}
    second = ticks.gather_every(3).with_columns(pl.lit("SOURCE_2").alias("source"), **higher)
    return pl.concat([ticks, second.select(ticks.columns)]).sort("dateTime")


@contextmanager
def sandbox(folder: Path, jars: list[Path]) -> Iterator[Sandbox]:
    """Topics with their default names on a separate broker, a lake, and a Trino over both."""
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
        ticks = quotes()
        text = pl.col("dateTime").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")
        half = ticks.height // 2
        # In two parts, so that a day's ticks are in two files.
        for part in (ticks.head(half), ticks.tail(-half)):
            pipeline.send_frame(part.with_columns(text))
            pipeline.work_off()
            sinks.work_off()
        server = ensure_unpacked(read_archive("trino"), jars_cache().parent)
        etc = ROOT / "deploy" / "trino"
        node = trino.Node(
            folder / "trino", trino_port, server, etc, environment | {"TZ": "America/New_York"}
        )
        process = trino.start(node)
        try:
            trino.create_views(node)
            yield Sandbox(pipeline, sinks, trino_port, os.environ | environment, ticks)
        finally:
            process.stop()
