"""A lake with the market of `market.py`, topics, and the engines that read both."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import trino as client
from pyiceberg.catalog import Catalog, load_catalog

from homma.core.calendar import DEFAULT_CALENDAR
from homma.lake.schema import tables as specs
from homma.lake.table import Lake
from homma.settings import TopicSettings
from homma.stack.downloads.archive import ensure_unpacked, read_archive
from homma.stack.servers import trino
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.engines.market import market
from tests.engines.sandbox import Sandbox
from tests.engines.sandbox import sandbox as running
from tests.support.jars import jars_cache
from tests.support.pipeline import Pipeline
from tests.support.waiting import free_ports

ROOT = Path(__file__).parents[2]
NAMESPACE = "market_data"
TRADED = "traded_data"
#: From SQL to rows; `RunQuery` also returns the types of the columns.
Query = Callable[[str], list[tuple[Any, ...]]]
QueryResult = tuple[dict[str, str], list[tuple[Any, ...]]]
RunQuery = Callable[[str], QueryResult]
Spark = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def catalog(lake: dict[str, str]) -> Catalog:
    return load_catalog("lake", **lake)


@pytest.fixture(scope="session")
def frames(lake: dict[str, str], catalog: Catalog) -> dict[str, pl.DataFrame]:
    """The rows of the 12 tables by name."""
    return filled(lake, catalog, NAMESPACE, market())


@pytest.fixture(scope="session")
def traded(lake: dict[str, str], catalog: Catalog) -> dict[str, pl.DataFrame]:
    """The rows of the 12 tables of a market of trades, which are in a namespace of their own."""
    return filled(lake, catalog, TRADED, market("trade"))


def filled(
    lake: dict[str, str], catalog: Catalog, namespace: str, frames: dict[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """Tables with these rows."""
    with closing(Lake(lake, namespace)) as tables:
        by_name = {spec.name: spec for spec in specs(DEFAULT_CALENDAR)}
        for name, frame in frames.items():
            tables.ensure_table(by_name[name])
            append(catalog, f"{namespace}.{name}", frame)
    return frames


def append(catalog: Catalog, name: str, frame: pl.DataFrame) -> None:
    table = catalog.load_table(name)
    table.append(frame.to_arrow().cast(table.schema().as_arrow()))


@pytest.fixture(scope="session")
def environment(lake: dict[str, str]) -> dict[str, str]:
    """The variables that the files in `deploy` read with `${ENV:…}`."""
    return trino.lake_environment(lake)


@pytest.fixture(scope="session")
def pipeline(bootstrap: str) -> Pipeline:
    """The topics with their default names, as in the catalog `kafka`."""
    pipeline = Pipeline(bootstrap, partitions=2)
    pipeline.topic_settings = TopicSettings(replication_factor=1)
    pipeline.topics = contract.topics(pipeline.topic_settings)
    Admin(pipeline.config).ensure(contract.specs(pipeline.topic_settings, pipeline.partitions), 1)
    return pipeline


@pytest.fixture(scope="session")
def trino_node(
    environment: dict[str, str], bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, int]]:
    """The port and process id of a Trino on a machine in the time zone of New York."""
    unpacked_server = ensure_unpacked(read_archive("trino"), jars_cache().parent)
    folder = tmp_path_factory.mktemp("trino")
    [port] = free_ports(1)
    node = trino.Node(
        folder,
        port,
        unpacked_server,
        ROOT / "deploy" / "trino",
        environment | {"HOMMA_BOOTSTRAP_SERVERS": bootstrap, "TZ": "America/New_York"},
    )
    process = trino.start(node)
    trino.create_views(node)
    assert process.status.pid is not None
    yield port, process.status.pid
    process.stop()


@pytest.fixture
def run_query(trino_node: tuple[int, int]) -> RunQuery:
    port, _ = trino_node

    def run(sql: str) -> QueryResult:
        connecting = client.dbapi.Connection(
            "127.0.0.1", port, "homma", catalog="iceberg", schema=NAMESPACE
        )
        with closing(connecting) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            rows = [tuple(row) for row in cursor.fetchall()]
            return {name: kind for name, kind, *_ in cursor.description or ()}, rows

    return run


@pytest.fixture
def query(run_query: RunQuery) -> Query:
    return lambda sql: run_query(sql)[1]


@pytest.fixture(scope="session")
def spark(environment: dict[str, str]) -> Spark:
    """Runs spark-sql with an input, on a machine in another time zone."""
    variables = environment | {"JAVA_HOME": java_home(), "TZ": "America/New_York"}

    def run(sql: str) -> subprocess.CompletedProcess[str]:
        # Clear ARGS, which an outer make passes down.
        return subprocess.run(
            ["make", "--silent", "spark-sql", "ARGS="],
            input=sql,
            text=True,
            capture_output=True,
            check=False,
            cwd=ROOT,
            env=os.environ | variables,
        )

    return run


def java_home() -> str:
    """The home of a Java that Spark supports: 17 or 21."""
    homes = [Path(os.environ.get("JAVA_HOME", "/nowhere")), *Path("/usr/lib/jvm").glob("*")]
    for home in homes:
        release = home / "release"
        if release.exists() and re.search(r'JAVA_VERSION="(17|21)\b', release.read_text()):
            return str(home)
    raise LookupError("no Java 17 or 21 in JAVA_HOME or /usr/lib/jvm: apt install default-jre")


@pytest.fixture(scope="session")
def sandbox(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Kafka, a lake and Trino with real quotes, for dbt and Airflow."""
    with running(tmp_path_factory.mktemp("sandbox"), jars) as sandbox:
        yield sandbox
