"""Which data folders of `homma up` get history."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homma.cli.first_history import NAME, TICKS, is_due
from homma.errors import StackError
from homma.settings import UpSettings
from tests.support.machine import Machine

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def default_history(machine: Machine) -> None:
    """Other tests start without history."""
    del machine.env["HOMMA_HISTORY"]


def test_there_is_no_history_if_none_is_wanted(machine: Machine) -> None:
    for words in (("--history", "0"), ("--no-serve",)):
        started = machine.homma("up", "--detach", *words)
        assert started.returncode == 0, started.stderr
        # Nor later, when the folder is not new any more.
        assert not (machine.home / NAME).exists()
        assert machine.homma("down").returncode == 0


def test_a_history_that_cannot_be_loaded_ends_the_start(machine: Machine) -> None:
    machine.home.mkdir()
    (machine.home / NAME).write_text('{"complete": false}')
    (machine.home / TICKS).write_bytes(b"not Parquet")
    failed = machine.homma("up", "--detach")
    assert failed.returncode == 1
    assert "loading the history ended with exit status" in failed.stderr
    assert "`homma up` tries again" in failed.stderr
    assert machine.processes() == []


@pytest.mark.parametrize(
    "settings",
    [{"no_generate": True}, {"no_lake": True}, {"history": timedelta(0)}],
    ids=lambda settings: next(iter(settings)),
)
def test_history_is_due_once_in_a_new_folder(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert not is_due(UpSettings(dir=tmp_path, **settings))
    assert not (tmp_path / NAME).exists()
    assert is_due(UpSettings(dir=tmp_path))
    # It was interrupted.
    assert is_due(UpSettings(dir=tmp_path))


def test_a_folder_with_data_gets_no_history(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    assert not is_due(UpSettings(dir=tmp_path))


def test_a_damaged_note_is_an_error(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(StackError, match=r"history.json cannot be read .*; delete the file"):
        is_due(UpSettings(dir=tmp_path))
