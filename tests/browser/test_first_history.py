"""A new data folder of `homma up` has history: full charts that join the live ticks, and right."""

import json
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext

from homma.cli.first_history import NAME, TICKS
from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import BY_CODE
from tests.browser.chart_page import IN_VIEW, ChartPage
from tests.support.machine import Machine
from tests.support.waiting import until

#: As many as a chart shows, or as 400 days have.
FEWEST = dict.fromkeys(DEFAULT_CALENDAR.codes, 145) | {"W1": 57, "M1": 14}
#: One series of each kind of instrument.
SYMBOLS = ("BTCUSD", "EURUSD", "BIIE")

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


def test_the_page_of_a_new_folder_is_full_in_every_interval(
    machine: Machine, context: BrowserContext
) -> None:
    started = machine.homma("up", "--detach")
    assert started.returncode == 0, started.stderr
    until(lambda: is_complete(machine))
    loaded_s = (machine.home / "history.log").stat().st_mtime
    until(lambda: not too_few(machine))
    page = ChartPage(context.new_page(), f"http://127.0.0.1:{machine.page}")

    def shows_a_chart(code: str) -> bool:
        page.open(f"?interval={code}")
        page.wait(f"homma.seen && {IN_VIEW} >= expected", FEWEST[code])
        # More if the lake had not answered in time, and adds candles between those in view.
        return bool(page.page.evaluate(IN_VIEW) <= 155)

    for code in FEWEST:
        until(partial(shows_a_chart, code))
    assert page.messages == []
    page.page.close()

    # The history joins the live ticks: no minute is missing, and the price does not jump.
    until(lambda: candles(machine, "BTCUSD", "m1")[-1]["time"] > loaded_s)
    for symbol in SYMBOLS:
        minutes = candles(machine, symbol, "m1")[-150:]
        assert {b["time"] - a["time"] for a, b in pairwise(minutes)} == {60}, symbol
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
    assert machine.homma("down").returncode == 0
    assert machine.processes() == []


@pytest.mark.parametrize("is_publishing", [False, True])
def test_a_start_that_was_killed_while_it_loaded_history_is_repeated(
    machine: Machine, *, is_publishing: bool
) -> None:
    process = machine.start("up", "--history", "30d")
    until((machine.home / TICKS).exists)
    if is_publishing:
        # Many more than the live ones.
        until(lambda: machine.records(f"candle_{BY_CODE['m1'].name}") > 2_000)
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not machine.processes())
    assert not is_complete(machine)

    started = machine.homma("up", "--history", "30d", "--detach")
    assert started.returncode == 0, started.stderr
    # The engine runs before the ticks of the history are in the lake.
    until(lambda: is_complete(machine) and not (machine.home / TICKS).exists())
    until(lambda: len(candles(machine, "BTCUSD", "D1")) >= 31)
    assert len(candles(machine, "BTCUSD", "D1")) == 31
    verified = machine.homma("verify", "--json")
    assert verified.returncode == 0, verified.stdout
