"""Fixtures for several test folders: one Kafka and one lake for the whole run."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from homma.errors import KafkaError
from homma.stack.downloads.jars import fetch, read_lock
from homma.stack.servers import kafka
from homma.topics.kafka.admin import Admin
from tests.support import minio, weed
from tests.support.jars import cache_of, jars_cache
from tests.support.machine import Machine
from tests.support.waiting import free_ports
from tests.support.weed import Weed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--storage",
        choices=["seaweedfs", "minio"],
        default="seaweedfs",
        help="storage for tests/lake; minio also uses Apache's REST catalog (make test-minio)",
    )


@pytest.fixture(scope="session")
def jars() -> list[Path]:
    """Kafka's class path, from a cache that is kept between test runs."""
    return fetch(read_lock("kafka"), jars_cache())


@pytest.fixture(scope="session")
def bootstrap(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real broker; every test uses its own topics."""
    port, controller_port = free_ports(2)
    address = f"127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return Admin({"bootstrap.servers": address}).partitions(2) is not None
        except KafkaError:
            return False

    folder = tmp_path_factory.mktemp("kafka")
    with kafka.running(folder, port, controller_port, jars, ready):
        yield address


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Weed]:
    """Storage for the whole test run, SeaweedFS or MinIO; each test has its own namespace."""
    folder = tmp_path_factory.mktemp("storage")
    if request.config.getoption("--storage") == "minio":
        context = minio.running(folder, jars_cache())
    else:
        context = weed.running(folder)
    with context as running:
        yield running


@pytest.fixture(scope="session")
def lake(server: Weed) -> dict[str, str]:
    """pyiceberg's properties for the server."""
    return server.properties


@pytest.fixture
def namespace() -> str:
    return "n" + uuid.uuid4().hex[:10]


@pytest.fixture
def machine(tmp_path: Path, jars: list[Path]) -> Iterator[Machine]:
    """A data folder and ports for `homma up`."""
    machine = Machine(tmp_path / "home", cache_of(jars))
    yield machine
    machine.stop()
