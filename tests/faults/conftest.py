from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.brokers import OwnBroker, own_broker


@pytest.fixture
def broker(tmp_path: Path, jars: list[Path]) -> Iterator[OwnBroker]:
    """A broker for one test, restarted after a crash."""
    with own_broker(tmp_path / "kafka", jars) as broker:
        yield broker
