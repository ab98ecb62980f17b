"""A new data folder of `homma up` has history: complete, joined with live ticks, and right."""

import json
from itertools import pairwise
from typing import Any

import httpx
import pytest

from homma.cli.first_history import NAME, TICKS
from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import BY_CODE
from tests.support.machine import Machine
from tests.support.waiting import until

FEWEST = dict.fromkeys(DEFAULT_CALENDAR.codes, 150) | {"W1": 57, "M1": 14}
#: One series of each kind of instrument.
SYMBOLS = ("BTCUSD", "EURUSD", "BIIE")


@pytest.fixture(autouse=True)
def default_history(machine: Machine) -> None:
    """Other tests start without history."""
    del machine.env["HOMMA_HISTORY"]


def candles(machine: Machine, symbol: str, interval: str) -> list[dict[str, Any]]:
    """The newest candles, as the page gets them."""
    query = {"source": "SOURCE_1", "symbol": symbol, "interval": interval, "limit": "1000"}
    address = f"http://127.0.0.1:{machine.page}/api/candles"
    rows: list[dict[str, Any]] = httpx.get(address, params=query, timeout=30).json()["candles"]
    return rows


def is_complete(machine: Machine) -> bool:
    return bool(json.loads((machine.home / NAME).read_text())["complete"])


def has_new_minute(machine: Machine) -> bool:
    """Whether live ticks have arrived in a minute that the history does not reach."""
    log = (machine.home / "history.log").stat().st_mtime
    return bool(candles(machine, "BTCUSD", "m1")[-1]["time"] > log)


def test_all_intervals_have_candles_that_join_the_live_ones(machine: Machine) -> None:
    started = machine.homma("up", "--detach")
    assert started.returncode == 0, started.stderr
    assert is_complete(machine)
    for symbol in SYMBOLS:
        counts = {code: len(candles(machine, symbol, code)) for code in FEWEST}
        assert {c: n for c, n in counts.items() if n < FEWEST[c]} == {}, symbol
    until(lambda: has_new_minute(machine))
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
    until((machine.home / TICKS).exists)
    if is_publishing:
        until(lambda: machine.records(f"candle_{BY_CODE['m1'].name}"))
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not machine.processes())
    assert not is_complete(machine)

    started = machine.homma("up", "--history", "30d", "--detach")
    assert started.returncode == 0, started.stderr
    assert is_complete(machine)
    assert not (machine.home / TICKS).exists()
    assert len(candles(machine, "BTCUSD", "D1")) == 31
    verified = machine.homma("verify", "--json")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("words", [("--no-generate",), ("--history", "0"), ("--no-lake",)])
def test_there_is_no_history_if_none_is_wanted(machine: Machine, words: tuple[str, ...]) -> None:
    for _ in range(2):
        started = machine.homma("up", "--detach", *words)
        assert started.returncode == 0, started.stderr
        assert not (machine.home / NAME).exists()
        assert machine.homma("down").returncode == 0
        # Nor later, when the folder is not new any more.
        words = ("--no-serve",)
