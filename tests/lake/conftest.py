import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aggregate.pipeline import Pipeline
from tests.conftest import jars_cache
from tests.lake import minio, weed
from tests.lake.proxy import Way, between
from tests.lake.sinks import Sinks
from tests.lake.weed import Weed


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Weed]:
    """A storage for the whole run, SeaweedFS or another; tests take namespaces of their own."""
    folder = tmp_path_factory.mktemp("storage")
    if request.config.getoption("--storage") == "minio":
        made = minio.running(folder, jars_cache())
    else:
        made = weed.running(folder)
    with made as running:
        yield running


@pytest.fixture(scope="session")
def lake(server: Weed) -> dict[str, str]:
    """pyiceberg's properties of it."""
    return server.properties


@pytest.fixture
def namespace() -> str:
    return "n" + uuid.uuid4().hex[:10]


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Iterator[Sinks]:
    """Sinks of a pipeline of the test's own."""
    with Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path) as made:
        yield made


@pytest.fixture
def way(server: Weed) -> Iterator[Way]:
    """A way to the server on which things happen."""
    with between(server) as made:
        yield made
