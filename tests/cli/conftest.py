from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import Machine


@pytest.fixture
def machine(tmp_path: Path, jars: list[Path]) -> Iterator[Machine]:
    # The fixture `jars` has filled <cache>/jars/org/apache/…
    cache = next(folder for folder in jars[0].parents if folder.name == "jars").parent
    machine = Machine(tmp_path / "home", cache)
    yield machine
    machine.stop()
