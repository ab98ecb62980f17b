from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jars import cache_of
from tests.support.machine import Machine
from tests.upgrade import installation


@pytest.fixture
def upgraded(tmp_path: Path, jars: list[Path]) -> Iterator[Machine]:
    """A machine whose data folder was written by format 1; nothing runs yet."""
    machine = Machine(installation.unpack(tmp_path), cache_of(jars))
    yield machine
    machine.stop()


@pytest.fixture
def old_source(tmp_path: Path) -> Path:
    """The code that wrote format 1, from this checkout's history."""
    source = installation.old_source(tmp_path)
    if source is None:
        pytest.skip("needs the history of this repository: this checkout is shallow")
    return source
