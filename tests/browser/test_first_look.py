"""What somebody sees who opens the page for the first time, and again."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.chart_page import IN_VIEW, ChartPage
from tests.browser.market import COUNT, NEWEST, Market, market

FRAME = "getComputedStyle(document.querySelector('#stage'), '::after').content !== 'none'"


@pytest.fixture(scope="module")
def server() -> Iterator[Market]:
    with market(BIIE=12, EURUSD=10, BTCUSD=10, ABC=2) as site:
        yield site


@pytest.fixture
def page(context: BrowserContext, server: Market) -> Iterator[ChartPage]:
    page = ChartPage(context.new_page(), server.address)
    yield page
    assert page.messages == []


def test_it_opens_on_the_most_active_series(context: BrowserContext) -> None:
    with market(EURUSD=4, BIIE=12, BTCUSD=2) as site:
        chart = ChartPage(context.new_page(), site.address)
        chart.open()
        assert chart.read("state.symbol") == "BIIE"
        expect(chart.page.locator("#legend")).to_contain_text("BIIE SOURCE · m1")
        chart.page.close()


def test_of_about_equally_active_series_it_opens_on_a_known_one(page: ChartPage) -> None:
    page.open()
    assert page.read("state.symbol") == "BTCUSD"
    assert "symbol" not in page.page.url
    page.page.locator("#symbol").click()
    expect(page.page.locator("#symbol-list li")).to_have_text(["BTCUSD", "EURUSD", "BIIE", "ABC"])
    expect(page.page.locator("#quotes .symbol")).to_have_text(["BTCUSD", "EURUSD", "BIIE", "ABC"])


def test_it_opens_on_the_interval_looked_at_last(page: ChartPage) -> None:
    page.open()
    assert page.read("state.interval") == "m1"
    page.page.get_by_label("1 hour", exact=True).check(force=True)
    page.wait("homma.state.interval === 'h1' && homma.drawn.candles.length > 0")
    page.open()
    assert page.read("state.interval") == "h1"
    # What the address says comes first, and an address with a symbol is complete.
    page.open("?interval=D1")
    assert page.read("state.interval") == "D1"
    page.open("?symbol=EURUSD")
    assert page.read("state.interval") == "m1"


def test_going_back_leads_to_the_interval_seen_there(page: ChartPage) -> None:
    page.open("?interval=h1")
    page.open()
    page.page.get_by_label("1 minute", exact=True).check(force=True)
    page.wait("homma.state.interval === 'm1'")
    page.page.go_back()
    page.wait("homma.state.interval === 'h1' && homma.drawn.candles.length > 0")


@pytest.mark.parametrize("interval", ["m1", "h1", "D1"])
@pytest.mark.parametrize(("width", "fewest"), [(1600, 145), (390, 100)])
def test_it_shows_about_150_candles(
    page: ChartPage, interval: str, width: int, fewest: int
) -> None:
    page.page.set_viewport_size({"width": width, "height": 844})
    page.open(f"?interval={interval}")
    page.wait("homma.seen")
    assert fewest <= page.page.evaluate(IN_VIEW) <= 155
    newest = page.read("candles.at(-1).time")
    assert page.read("seen.to") == newest
    page.page.keyboard.press("Shift+ArrowLeft")
    page.wait("homma.seen.to < expected", newest)
    page.page.keyboard.press("End")
    page.wait("homma.seen.to === expected", newest)
    assert fewest <= page.page.evaluate(IN_VIEW) <= 155


def test_a_few_candles_fill_the_chart(context: BrowserContext) -> None:
    with market() as site:
        for n in range(13):
            site.send("BTCUSD", NEWEST - timedelta(minutes=n), 100.0, open=105.0 + n)
        chart = ChartPage(context.new_page(), site.address)
        chart.open()
        chart.wait("homma.seen")
        assert chart.page.evaluate(IN_VIEW) == 13
        assert chart.pixels("down") > 10_000
        chart.page.close()


def test_a_frame_is_drawn_only_where_the_keyboard_is(page: ChartPage) -> None:
    page.open()
    assert page.page.evaluate("document.activeElement === document.body")
    assert not page.page.evaluate(FRAME)
    # The keys work all the same.
    page.page.keyboard.press("ArrowLeft")
    expect(page.page.locator("#spoken")).to_contain_text("close")
    page.page.locator("#chart").click(position={"x": 300, "y": 300})
    assert not page.page.evaluate(FRAME)
    page.page.locator("#measure").focus()
    for _ in range(20):
        page.page.keyboard.press("Tab")
        if page.page.evaluate("document.activeElement.id") == "chart":
            break
    assert page.page.evaluate(FRAME)


def test_when_all_ticks_stop_the_page_says_so(context: BrowserContext) -> None:
    with market() as site:
        site.add_history("EURUSD", silence_s=300)
        site.add_history("BTCUSD", silence_s=7_200)
        chart = ChartPage(context.new_page(), site.address)
        chart.open("?symbol=BTCUSD")
        feed = chart.page.locator("#feed")
        expect(feed).to_contain_text("No ticks for 5 min: the feed or the engine has stopped.")
        site.add_history("EURUSD")
        expect(feed).to_have_text(
            "No ticks of BTCUSD from SOURCE for 2 h. Other series have ticks."
        )
        site.add_history("BTCUSD")
        expect(feed).to_be_hidden()
        assert len(chart.drawn()) == COUNT
        assert chart.messages == []
        chart.page.close()
