"""Fixtures for several test folders: one embedded Kafka for the whole run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from homma.errors import KafkaError
from homma.stack.downloads.jars import fetch, read_lock
from homma.stack.servers import kafka
from homma.topics.kafka.admin import Admin
from tests.support.waiting import free_ports


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--storage",
        choices=["seaweedfs", "minio"],
        default="seaweedfs",
        help="storage for tests/lake; minio also uses Apache's REST catalog (make test-minio)",
    )


def jars_cache() -> Path:
    """The folder that keeps jars between test runs."""
    return Path(os.environ.get("HOMMA_TEST_CACHE", "~/.cache/homma/jars")).expanduser()


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
