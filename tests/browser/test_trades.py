"""Trades on the page: exact volumes, the VWAP, and prices of any sign."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.chart_page import ChartPage
from tests.browser.market import NEWEST, Market, market
from tests.support.candle_records import trades
from tests.support.waiting import until

NEXT = NEWEST + timedelta(minutes=1)
MIDNIGHT = NEWEST.replace(hour=0, minute=0)
#: From the evening before to NEWEST: more candles than the page loads at first.
COUNT = 1000
SIZES = [Decimal(n % 7 + 1) / 8 for n in range(COUNT)]
PRICES = [Decimal(84_000 + n % 50) + Decimal("0.25") for n in range(COUNT)]
STARTS = [NEWEST - timedelta(minutes=COUNT - 1 - n) for n in range(COUNT)]


def traded(price: Decimal, size: Decimal) -> dict[str, Any]:
    """The fields of a candle of two trades at almost the same price."""
    return {**trades(str(size), str(price * size)), "tickCount": 2}


def day_vwap(since: datetime) -> float:
    rows = [row for row in zip(PRICES, SIZES, STARTS, strict=True) if row[2] >= since]
    turnover = sum(price * size for price, size, _ in rows)
    return float(turnover / sum(size for _, size, _ in rows))


@pytest.fixture
def site() -> Iterator[Market]:
    with market(EURUSD=10) as server:
        for price, size, start in zip(PRICES, SIZES, STARTS, strict=True):
            close = float(price)
            server.send("BTCUSD", start, close, high=close + 5, **traded(price, size))
        yield server


@pytest.fixture
def chart(context: BrowserContext, site: Market) -> Iterator[ChartPage]:
    chart = ChartPage(context.new_page(), site.address)
    yield chart
    assert chart.messages == []
    assert chart.external_requests == []


def test_the_legend_shows_the_volume_with_its_decimals_and_the_vwap(
    chart: ChartPage, site: Market
) -> None:
    chart.open("?symbol=BTCUSD")
    site.send("BTCUSD", NEXT, 84_100.5, **trades("1234.00000001", "103779400"), tickCount=3)
    legend = chart.page.locator("#legend")
    expect(legend).to_contain_text("V 1,234.00000001")
    expect(legend).to_contain_text("VWAP 84100.00")
    expect(legend).to_contain_text("tick count 3")
    assert chart.read("drawn.volume.at(-1).value") == 1234.00000001
    assert chart.read("drawn.volume.at(-2).value") == float(SIZES[-1])
    chart.page.locator("#chart").focus()
    for _ in range(2):
        chart.page.keyboard.press("ArrowLeft")
    expect(legend).to_contain_text(f"V {SIZES[-1]}")
    expect(chart.page.locator("#spoken")).to_contain_text(f"volume {SIZES[-1]}, tick count 2, VWAP")
    chart.page.locator("#quotes a", has_text="EURUSD").click()
    expect(legend).to_contain_text("V 10")
    expect(legend).not_to_contain_text("VWAP")


def test_the_vwap_of_the_day(chart: ChartPage, site: Market) -> None:
    chart.open("?symbol=BTCUSD")
    chart.page.keyboard.press("o")
    chart.page.get_by_label("Day VWAP").check()
    # Midnight is not among the first candles of the page, so it loads older ones.
    chart.wait("homma.drawn.studies[0]?.length > 0")
    assert chart.read("drawn.candles.length") == COUNT
    expected = day_vwap(MIDNIGHT)
    assert chart.read("drawn.studies[0].at(-1).value") == pytest.approx(expected, rel=1e-12)
    expect(chart.page.locator("#legend .study")).to_have_text(f"Day VWAP{expected:.2f}")
    assert "study=vwap" in chart.page.url
    # A live candle moves it.
    turnover, volume = 90_000 * 1000, 1000
    site.send("BTCUSD", NEXT, 90_000, **trades(str(volume), str(turnover)), tickCount=1)
    chart.wait("homma.drawn.studies[0].at(-1).value > expected", expected + 1000)
    # All candles of the server are loaded: the first day has a VWAP since the first candle.
    chart.page.reload()
    chart.wait("homma.drawn.studies[0]?.length > 0")

    def is_scrolled_to_the_first_candle() -> bool:
        # Keys that are pressed within one frame scroll only once.
        chart.page.keyboard.press("Shift+ArrowLeft")
        lengths = chart.read("drawn.studies[0].length"), chart.read("drawn.candles.length")
        return bool(lengths[0] == lengths[1])

    until(is_scrolled_to_the_first_candle)
    assert chart.read("drawn.studies[0][0].value") == pytest.approx(float(PRICES[0]))
    assert chart.violations() == []


def test_quotes_have_no_vwap(chart: ChartPage) -> None:
    chart.open("?symbol=EURUSD&study=sma20")
    chart.page.keyboard.press("o")
    expect(chart.page.get_by_label("SMA 20", exact=True)).to_be_visible()
    expect(chart.page.get_by_label("Day VWAP")).to_be_hidden()
    chart.open("?symbol=EURUSD&study=vwap&study=sma20")
    chart.wait("homma.drawn.studies.length === 1")
    expect(chart.page.locator("#legend .study")).to_have_count(1)
    chart.page.locator("#quotes a", has_text="BTCUSD").click()
    chart.wait("homma.drawn.studies.length === 2")


def test_the_scale_can_be_logarithmic(chart: ChartPage) -> None:
    chart.open("?symbol=BTCUSD")
    assert chart.read("drawn.isLogarithmic") is False
    button = chart.page.get_by_role("button", name="Log", exact=True)
    button.click()
    chart.wait("homma.drawn.isLogarithmic")
    expect(button).to_have_attribute("aria-pressed", "true")
    assert "scale=log" in chart.page.url
    chart.page.locator("#chart").focus()
    chart.page.keyboard.press("l")
    chart.wait("!homma.drawn.isLogarithmic")
    assert "scale" not in chart.page.url


def test_prices_of_any_sign_have_no_logarithms_and_no_per_cent(
    chart: ChartPage, site: Market
) -> None:
    chart.open("?symbol=BTCUSD&scale=log")
    button = chart.page.get_by_role("button", name="Log", exact=True)
    expect(button).to_be_visible()
    legend = chart.page.locator("#legend")
    expect(legend).to_contain_text("%")
    chart.wait("homma.drawn.isLogarithmic")
    site.send("BTCUSD", NEXT, -37.63, **trades("2", "-75.26"), tickCount=2)
    chart.wait("!homma.drawn.isLogarithmic")
    expect(button).to_be_hidden()
    expect(legend).to_contain_text("C -37.63")
    expect(legend).to_contain_text("VWAP -37.63")
    expect(legend).not_to_contain_text("%")
    row = chart.page.locator("#quotes a", has_text="BTCUSD")
    expect(row).to_contain_text("-37.63")
    expect(row).not_to_contain_text("%")
    chart.page.locator("#chart").focus()
    chart.page.keyboard.press("l")
    assert chart.read("state.scale") == "log"
    # Another series has a logarithmic scale again.
    chart.page.locator("#quotes a", has_text="EURUSD").click()
    chart.wait("homma.state.symbol === 'EURUSD' && homma.drawn.isLogarithmic")
    expect(button).to_be_visible()
