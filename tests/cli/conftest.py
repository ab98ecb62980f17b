from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.machine import Machine


@pytest.fixture
def machine(tmp_path: Path, jars: list[Path]) -> Iterator[Machine]:
    # <cache>/jars/org/apache/… is what the jars' fixture has filled.
    cache = next(folder for folder in jars[0].parents if folder.name == "jars").parent
    machine = Machine(tmp_path / "home", cache)
    yield machine
    machine.end()
