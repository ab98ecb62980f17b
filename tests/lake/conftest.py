from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lake.proxy import Way, between
from tests.support.pipeline import Pipeline
from tests.support.sinks import Sinks
from tests.support.weed import Weed


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
