"""Studies, measuring and alerts on the chart."""

import statistics
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chart_page import ChartPage
from tests.browser.market import NEWEST, Market, close_of, market

NEXT = NEWEST + timedelta(minutes=1)
# Records the notifications, as no desktop is there to show them.
NOTIFICATIONS = """
  window.notified = [];
  window.Notification = class {
    static permission = "default";
    static async requestPermission() { return (this.permission = "granted"); }
    constructor(title, { body }) { window.notified.push(body); }
  };
"""


@pytest.fixture
def site() -> Iterator[Market]:
    with market(BTCUSD=10, EURUSD=10) as server:
        yield server


@pytest.fixture
def chart(context: BrowserContext, site: Market) -> Iterator[ChartPage]:
    context.add_init_script(NOTIFICATIONS)
    chart = ChartPage(context.new_page(), site.address)
    yield chart
    assert chart.messages == []
    assert chart.external_requests == []


def drag(page: Page, *path: tuple[int, int]) -> None:
    page.mouse.move(*path[0])
    page.mouse.down()
    for point in path[1:]:
        page.mouse.move(*point, steps=3)
    page.mouse.up()


def test_studies_are_laid_over_the_candles(chart: ChartPage, site: Market) -> None:
    chart.open("?symbol=BTCUSD")
    chart.page.keyboard.press("o")
    chart.page.keyboard.press("Space")
    chart.wait("homma.drawn.studies.length === 1")
    chart.page.get_by_label("Bollinger 20").check()
    chart.wait("homma.drawn.studies.length === 4")
    closes = [close_of(n) for n in range(20)]
    mean, deviation = statistics.fmean(closes), statistics.pstdev(closes)
    expected = [mean, mean, mean + 2 * deviation, mean - 2 * deviation]
    assert chart.read("drawn.studies.map(s => s.at(-1).value)") == pytest.approx(expected)
    legend = chart.page.locator("#legend .study")
    expect(legend).to_contain_text([f"SMA 20{mean:.2f}", "Bollinger 20"])
    # A live candle moves them; the older values stay.
    site.send("BTCUSD", NEXT, 120.0)
    moved = statistics.fmean([120.0, *closes[:-1]])
    chart.wait("Math.abs(homma.drawn.studies[0].at(-1).value - expected) < 1e-9", moved)
    assert chart.read("drawn.studies[0].at(-2).value") == pytest.approx(mean)
    # So does a correction of an older candle, for all candles after it.
    site.send("BTCUSD", NEWEST, 50.0, revision=2)
    corrected = moved + (50.0 - closes[0]) / 20
    chart.wait("Math.abs(homma.drawn.studies[0].at(-1).value - expected) < 1e-9", corrected)
    assert "study=sma20&study=bb20" in chart.page.url
    chart.page.reload()
    chart.wait("homma.drawn.studies.length === 4")
    chart.page.go_back()
    chart.wait("homma.drawn.studies.length === 1")


def test_an_address_can_have_a_study_of_any_length(chart: ChartPage) -> None:
    chart.open("?symbol=BTCUSD&study=ema7&study=sma399&study=sma1")
    assert chart.read("state.studies") == ["ema7", "sma399"]
    assert chart.read("drawn.studies.map(s => s.length)") == [394, 2]
    chart.page.keyboard.press("o")
    chart.page.get_by_label("EMA 7").uncheck()
    chart.wait("homma.drawn.studies.length === 1")


def test_a_drag_with_shift_measures(chart: ChartPage) -> None:
    chart.open("?symbol=BTCUSD")
    chart.wait("homma.seen")
    seen = chart.read("seen")
    chart.page.keyboard.down("Shift")
    drag(chart.page, (300, 500), (500, 350))
    chart.page.keyboard.up("Shift")
    measured = chart.read("measurement")
    assert measured["bars"] > 5
    assert measured["to"]["time"] - measured["from"]["time"] == measured["bars"] * 60
    change = measured["to"]["price"] - measured["from"]["price"]
    assert change > 0
    percent = change / measured["from"]["price"] * 100
    text = f"+{change:.2f} (+{percent:.2f} %), {measured['bars']} bars, {measured['bars']} min"
    expect(chart.page.locator("#spoken")).to_have_text(text)
    assert chart.pixels("measure") > 100
    # The chart has not moved, and does so again without Shift.
    assert chart.read("seen") == seen
    drag(chart.page, (300, 500), (500, 500))
    chart.wait("homma.measurement === undefined && homma.seen.from !== expected", seen["from"])


def test_the_tool_measures_once_and_escape_ends_it(chart: ChartPage) -> None:
    chart.open("?symbol=BTCUSD")
    button = chart.page.get_by_role("button", name="Measure")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    drag(chart.page, (500, 350), (300, 500))
    expect(button).to_have_attribute("aria-pressed", "false")
    assert chart.read("measurement.bars") < 0
    chart.page.locator("#chart").focus()
    chart.page.keyboard.press("Escape")
    assert chart.read("measurement") is None


def test_the_keyboard_measures_from_candle_to_candle(chart: ChartPage) -> None:
    chart.open("?symbol=BTCUSD")
    for key in ("ArrowLeft", "r", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        chart.page.keyboard.press(key)
    assert chart.read("measurement.bars") == -3
    prices = chart.read("measurement.from.price"), chart.read("measurement.to.price")
    assert prices == (close_of(0), close_of(3))
    expect(chart.page.locator("#spoken")).to_contain_text("3 bars, 3 min")


def test_an_alert_is_kept_until_the_price_crosses_it(chart: ChartPage, site: Market) -> None:
    chart.open("?symbol=BTCUSD")
    chart.page.keyboard.press("a")
    price = chart.page.get_by_label("Price")
    expect(price).to_have_value(f"{close_of(0):.2f}")
    for value in ("110.5", "90"):
        price.fill(value)
        price.press("Enter")
    chart.wait("homma.drawn.alerts.length === 2")
    chart.page.get_by_role("button", name="Remove: 90").click()
    chart.wait("homma.drawn.alerts.length === 1")
    # Another series has none, and a new page has the same.
    chart.page.keyboard.press("Escape")
    chart.page.locator("#quotes a", has_text="EURUSD").click()
    chart.wait("homma.state.symbol === 'EURUSD' && homma.drawn.alerts.length === 0")
    chart.open("?symbol=BTCUSD")
    assert chart.read("drawn.alerts") == [110.5]
    chart.page.evaluate("Notification.permission = 'granted'")
    site.send("BTCUSD", NEXT, 109.0)
    chart.wait("homma.candles.at(-1).close === 109")
    expect(chart.page.locator("#crossings li")).to_have_count(0)
    # The price has touched it and is back before the page sees it.
    site.send("BTCUSD", NEXT, 109.5, high=111.0)
    text = "BTCUSD from SOURCE has reached 110.5. It is now at 109.5."
    expect(chart.page.locator("#crossings li")).to_contain_text(text)
    assert chart.page.evaluate("notified") == [text]
    assert chart.read("drawn.alerts") == []
    chart.page.get_by_role("button", name=f"Dismiss: {text}").click()
    expect(chart.page.locator("#crossings li")).to_have_count(0)


def test_an_alert_of_a_series_that_is_not_shown(chart: ChartPage, site: Market) -> None:
    chart.open("?symbol=EURUSD")
    chart.page.keyboard.press("a")
    chart.page.get_by_label("Price").fill("110")
    chart.page.keyboard.press("Enter")
    chart.wait("homma.drawn.alerts.length === 1")
    assert chart.page.evaluate("Notification.permission") == "granted"
    chart.page.keyboard.press("Escape")
    chart.page.locator("#quotes a", has_text="BTCUSD").click()
    chart.wait("homma.state.symbol === 'BTCUSD' && homma.drawn.candles.length > 0")
    site.send("EURUSD", NEXT, 111.0)
    expect(chart.page.locator("#crossings li")).to_contain_text(
        "EURUSD from SOURCE has reached 110"
    )


def test_a_click_with_alt_sets_an_alert(chart: ChartPage) -> None:
    chart.open("?symbol=BTCUSD")
    chart.page.locator("#chart").click(position={"x": 400, "y": 300}, modifiers=["Alt"])
    chart.wait("homma.drawn.alerts.length === 1")
    prices = chart.read("drawn.candles.slice(-150).flatMap(c => [c.low, c.high])")
    assert min(prices) < chart.read("drawn.alerts[0]") < max(prices)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("menu", ["studies", "alerts"])
def test_the_tools_are_accessible(chart: ChartPage, theme: str, menu: str, site: Market) -> None:
    chart.open(f"?symbol=BTCUSD&theme={theme}&study=sma20&study=bb20")
    chart.page.keyboard.press("a")
    for value in ("110", "90"):
        chart.page.get_by_label("Price").fill(value)
        chart.page.keyboard.press("Enter")
    site.send("BTCUSD", NEXT, 111.0)
    expect(chart.page.locator("#crossings li")).to_have_count(1)
    chart.page.keyboard.press("Escape")
    chart.page.locator(f"#{menu} > button").click()
    assert chart.violations() == []
    chart.page.set_viewport_size({"width": 390, "height": 844})
    expect(chart.page.locator(f"#{menu} .menu-content")).to_be_in_viewport(ratio=1)
    assert chart.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert chart.violations() == []
