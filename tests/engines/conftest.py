"""A lake with the market of `market.py` in it, topics, and the engines that read them."""

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

from homma.lake.schema import BY_NAME
from homma.lake.table import Lake
from homma.settings import TopicSettings
from homma.stack import trino
from homma.stack.archive import read_archive, unpacked
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.aggregate.pipeline import Pipeline
from tests.conftest import jars_cache
from tests.engines.market import market
from tests.engines.sandbox import Sandbox
from tests.engines.sandbox import sandbox as running
from tests.lake import conftest as lakes
from tests.stack.waiting import free_ports

ROOT = Path(__file__).parents[2]
NAMESPACE = "market_data"
lake, server = lakes.lake, lakes.server
#: A query, and its rows; the other gives its columns with their types too.
Query = Callable[[str], list[tuple[Any, ...]]]
Answer = tuple[dict[str, str], list[tuple[Any, ...]]]
Answering = Callable[[str], Answer]
Spark = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def catalog(lake: dict[str, str]) -> Catalog:
    return load_catalog("lake", **lake)


@pytest.fixture(scope="session")
def frames(lake: dict[str, str], catalog: Catalog) -> dict[str, pl.DataFrame]:
    """What the 12 tables hold."""
    frames = market()
    with closing(Lake(lake, NAMESPACE)) as made:
        for name, frame in frames.items():
            made.make(BY_NAME[name])
            append(catalog, f"{NAMESPACE}.{name}", frame)
    return frames


def append(catalog: Catalog, name: str, frame: pl.DataFrame) -> None:
    table = catalog.load_table(name)
    table.append(frame.to_arrow().cast(table.schema().as_arrow()))


@pytest.fixture(scope="session")
def environment(lake: dict[str, str]) -> dict[str, str]:
    """What the files in `deploy` name by `${ENV:…}`."""
    return trino.lake_environment(lake)


@pytest.fixture(scope="session")
def pipeline(bootstrap: str) -> Pipeline:
    """The topics by their usual names, as the catalog `kafka` has them."""
    made = Pipeline(bootstrap, partitions=2)
    made.topic_settings = TopicSettings(replication_factor=1)
    made.topics = contract.topics(made.topic_settings)
    Admin(made.config).ensure(contract.specs(made.topic_settings, made.partitions), 1)
    return made


@pytest.fixture(scope="session")
def trino_node(
    environment: dict[str, str], bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, int]]:
    """Its port and its process, on a machine whose clock shows New York's time."""
    unpacked_server = unpacked(read_archive("trino"), jars_cache().parent)
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
    trino.make_views(node)
    assert process.status.pid is not None
    yield port, process.status.pid
    process.stop()


@pytest.fixture
def answer(trino_node: tuple[int, int]) -> Answering:
    port, _ = trino_node

    def run(sql: str) -> Answer:
        place = client.dbapi.Connection(
            "127.0.0.1", port, "homma", catalog="iceberg", schema=NAMESPACE
        )
        with closing(place) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            rows = [tuple(row) for row in cursor.fetchall()]
            return {name: kind for name, kind, *_ in cursor.description or ()}, rows

    return run


@pytest.fixture
def query(answer: Answering) -> Query:
    return lambda sql: answer(sql)[1]


@pytest.fixture(scope="session")
def spark(environment: dict[str, str]) -> Spark:
    """Runs spark-sql with what is typed into it, on a machine whose clock shows other time."""
    told = environment | {"JAVA_HOME": java_home(), "TZ": "America/New_York"}

    def run(typed: str) -> subprocess.CompletedProcess[str]:
        # ARGS, as those of a make above are handed down.
        return subprocess.run(
            ["make", "--silent", "spark-sql", "ARGS="],
            input=typed,
            text=True,
            capture_output=True,
            check=False,
            cwd=ROOT,
            env=os.environ | told,
        )

    return run


def java_home() -> str:
    """A Java that Spark runs on: 17 or 21, no other."""
    places = [Path(os.environ.get("JAVA_HOME", "/nowhere")), *Path("/usr/lib/jvm").glob("*")]
    for place in places:
        release = place / "release"
        if release.exists() and re.search(r'JAVA_VERSION="(17|21)\b', release.read_text()):
            return str(place)
    raise LookupError("no Java 17 or 21 in JAVA_HOME or /usr/lib/jvm: apt install default-jre")


@pytest.fixture(scope="session")
def sandbox(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Kafka, a lake and Trino with real quotes, for dbt and Airflow."""
    with running(tmp_path_factory.mktemp("sandbox"), jars) as found:
        yield found
