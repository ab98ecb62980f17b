"""A new data folder of `homma up` has history: complete, joined with live ticks, and right."""

import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from homma.cli.first_history import NAME, TICKS, is_due
from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import BY_CODE
from homma.errors import StackError
from homma.settings import UpSettings
from tests.support.machine import Machine
from tests.support.pipeline import until

FEWEST = dict.fromkeys(DEFAULT_CALENDAR.codes, 150) | {"W1": 57, "M1": 14}
#: One series of each kind of instrument.
SYMBOLS = ("BTCUSD", "EURUSD", "BIIE")
#: On a busy machine, the load takes minutes.
LOAD_S = 240


pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def default_history(machine: Machine) -> None:
    """Other tests start without history."""
    del machine.env["HOMMA_HISTORY"]


def candles(machine: Machine, symbol: str, interval: str) -> list[dict[str, Any]]:
    """The newest candles, as the page gets them."""
    query = {"source": "SOURCE_1", "symbol": symbol, "interval": interval, "limit": "1000"}
    address = f"http://127.0.0.1:{machine.page}/api/candles"
    answer = httpx.get(address, params=query, timeout=30)
    # The page's server may not have read the series yet.
    rows: list[dict[str, Any]] = [] if answer.is_client_error else answer.json()["candles"]
    return rows


def too_few(machine: Machine) -> dict[tuple[str, str], int]:
    """The intervals that have fewer candles than a chart shows, with their number."""
    counts = {(s, code): len(candles(machine, s, code)) for s in SYMBOLS for code in FEWEST}
    return {key: count for key, count in counts.items() if count < FEWEST[key[1]]}


def is_complete(machine: Machine) -> bool:
    return bool(json.loads((machine.home / NAME).read_text())["complete"])


def has_new_minute(machine: Machine) -> bool:
    """Whether live ticks have arrived in a minute that the history does not reach."""
    log = (machine.home / "history.log").stat().st_mtime
    return bool(candles(machine, "BTCUSD", "m1")[-1]["time"] > log)


def test_all_intervals_have_candles_that_join_the_live_ones(machine: Machine) -> None:
    started = machine.homma("up", "--detach")
    assert started.returncode == 0, started.stderr
    until(lambda: is_complete(machine), LOAD_S)
    until(lambda: not too_few(machine), LOAD_S)
    until(lambda: has_new_minute(machine), LOAD_S)
    for symbol in SYMBOLS:
        minutes = candles(machine, symbol, "m1")[-150:]
        times = [c["time"] for c in minutes]
        assert {b - a for a, b in pairwise(times)} == {60}, symbol
        for before, after in pairwise(minutes):
            # The walk of some ticks: far less than a day's.
            assert abs(after["open"] / before["close"] - 1) < 0.01, (before, after)
    verified = machine.homma("verify", "--json")
    assert verified.returncode == 0, verified.stdout

    # The next start loads nothing.
    written = (machine.home / "history.log").read_bytes()
    assert machine.homma("down").returncode == 0
    again = machine.homma("up", "--detach")
    assert again.returncode == 0, again.stderr
    assert (machine.home / "history.log").read_bytes() == written
    assert machine.homma("verify").returncode == 0


@pytest.mark.parametrize("is_publishing", [False, True])
def test_a_start_that_was_killed_while_it_loaded_history_is_repeated(
    machine: Machine, *, is_publishing: bool
) -> None:
    process = machine.start("up", "--history", "30d")
    until((machine.home / TICKS).exists, LOAD_S)
    if is_publishing:
        # Many more than the live ones.
        until(lambda: machine.records(f"candle_{BY_CODE['m1'].name}") > 5_000, LOAD_S)
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not machine.processes(), LOAD_S)
    assert not is_complete(machine)

    started = machine.homma("up", "--history", "30d", "--detach")
    assert started.returncode == 0, started.stderr
    until(lambda: is_complete(machine), LOAD_S)
    assert not (machine.home / TICKS).exists()
    until(lambda: len(candles(machine, "BTCUSD", "D1")) >= 31, LOAD_S)
    assert len(candles(machine, "BTCUSD", "D1")) == 31
    verified = machine.homma("verify", "--json")
    assert verified.returncode == 0, verified.stdout


def test_there_is_no_history_if_none_is_wanted(machine: Machine) -> None:
    for words in (("--history", "0"), ("--no-serve",)):
        started = machine.homma("up", "--detach", *words)
        assert started.returncode == 0, started.stderr
        # Nor later, when the folder is not new any more.
        assert not (machine.home / NAME).exists()
        assert machine.homma("down").returncode == 0


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
