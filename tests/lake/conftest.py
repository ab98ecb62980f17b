import uuid
from collections.abc import Iterator

import pytest

from tests.lake import weed
from tests.lake.weed import Weed


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """A SeaweedFS for the whole run; tests take namespaces of their own."""
    with weed.running(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture(scope="session")
def lake(server: Weed) -> dict[str, str]:
    """pyiceberg's properties of it."""
    return server.properties


@pytest.fixture
def namespace() -> str:
    return "n" + uuid.uuid4().hex[:10]
