import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import jars_cache
from tests.lake import minio
from tests.lake.proxy import Way, between
from tests.support import weed
from tests.support.pipeline import Pipeline
from tests.support.sinks import Sinks
from tests.support.weed import Weed


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
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Iterator[Sinks]:
    """Sinks for the test's own pipeline."""
    with Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path) as context:
        yield context


@pytest.fixture
def way(server: Weed) -> Iterator[Way]:
    """A route to the server through proxies with faults."""
    with between(server) as context:
        yield context
