"""The page in a real browser, with candles from a real engine."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, expect

from homma.core.calendar import DEFAULT_CALENDAR, calendar_of
from homma.core.fields import CANDLE_FIELDS
from tests.browser.chart_page import IN_VIEW, ChartPage
from tests.browser.site import Site
from tests.browser.walk import END, MINUTES, SERIES, at
from tests.support.candle_records import RecordSequence
from tests.support.serving import make_server, running
from tests.support.waiting import until

# A function, as the page's policy forbids evaluating strings.
DRAWN = "() => window.homma && window.homma.drawn.candles.length > 0"
CODES = DEFAULT_CALENDAR.codes


def rows(candles: list[dict[str, Any]]) -> list[list[float]]:
    return [[c["time"], c["open"], c["high"], c["low"], c["close"]] for c in candles]


def test_candles_are_drawn(chart: ChartPage, site: Site) -> None:
    chart.open("?symbol=BNBUSD&source=SOURCE_1")
    assert chart.drawn() == rows(site.candles("m1", limit=500))
    volumes = [column["value"] for column in chart.read("drawn.volume")]
    assert volumes == [candle["volume"] for candle in site.candles("m1", limit=500)]
    until(lambda: chart.pixels("up") > 500 and chart.pixels("down") > 500)
    expect(chart.page.locator("#legend")).to_contain_text("BNBUSD SOURCE_1 · m1")
    expect(chart.page.locator("#link")).to_have_text("Live")


def test_candles_that_the_lake_has_too_late_are_asked_for_again(
    chart: ChartPage, site: Site
) -> None:
    """The first answers have only what is in memory."""
    expected = site.candles("m1", limit=500)

    def answer(route: Route) -> None:
        candles = [] if "&to=" in route.request.url else expected[-3:]
        route.fulfill(body=json.dumps({"complete": False, "candles": candles}))

    chart.page.route("**/api/candles?*", answer)
    chart.open("?symbol=BNBUSD&source=SOURCE_1")
    assert len(chart.drawn()) == 3
    chart.page.unroute("**/api/candles?*")
    chart.wait("homma.drawn.candles.length > 3")
    assert chart.drawn()[-len(expected) :] == rows(expected)
    # As many as where the first answer is complete.
    chart.wait(f"{IN_VIEW} > 100")


def test_candles_are_asked_for_again_after_an_error(chart: ChartPage, site: Site) -> None:
    """Neither a lost connection nor a server that refuses leaves an empty chart."""
    for failure in (
        lambda route: route.abort("connectionreset"),
        lambda route: route.fulfill(status=503, body=json.dumps({"detail": "Starting."})),
    ):
        chart.page.route("**/api/candles?*", failure)
        with chart.page.expect_request("**/api/candles?*"):
            chart.page.goto(chart.address + "/?symbol=BNBUSD&source=SOURCE_1")
        with chart.page.expect_request("**/api/candles?*"):
            pass
        chart.page.unroute("**/api/candles?*")
        chart.wait("homma.drawn.candles.length > 3")
        assert chart.drawn()[-500:] == rows(site.candles("m1", limit=500))
        chart.wait(f"{IN_VIEW} > 100")
        expect(chart.page.locator("#notice")).to_be_hidden()
    assert all("Failed to load" in message for message in chart.messages)
    chart.messages.clear()


def test_the_chart_library_is_credited(chart: ChartPage) -> None:
    chart.open()
    link = chart.page.get_by_role("link", name="Charts by TradingView")
    expect(link).to_be_visible()
    expect(link).to_have_attribute("href", "https://www.tradingview.com/")


def test_the_content_security_policy_allows_only_the_server(chart: ChartPage) -> None:
    answer = chart.page.goto(chart.address)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_before_the_first_tick(context: BrowserContext) -> None:
    server = make_server()
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        chart = ChartPage(context.new_page(), address)
        chart.page.goto(address)
        empty = chart.page.locator("#empty")
        expect(empty).to_contain_text("No ticks yet")
        expect(empty.locator("code").nth(0)).to_have_text("homma up")
        expect(empty.locator("code").nth(1)).to_have_text("homma generate")
        expect(empty.locator("code").nth(2)).to_have_text("homma replay ticks.parquet")
        expect(chart.page.locator("#notice")).to_be_hidden()
        assert chart.violations() == []
        change = server.market.live.add("m1", RecordSequence().record(close=1.25))
        assert change is not None
        server.streams.events.add_change("m1", change)
        server.streams.notify()
        chart.wait("homma.drawn.candles.length === 1")
        expect(empty).to_be_hidden()
        expect(chart.page.locator("#link")).to_have_text("Live")
        # The series is known, but has no candle of this interval yet.
        chart.page.get_by_label("1 hour", exact=True).check(force=True)
        expect(chart.page.locator("#notice")).to_have_text("Waiting for the first candle.")
        expect(empty).to_be_hidden()
        assert chart.messages == []
        chart.page.close()


def test_an_update_and_a_correction_arrive(chart: ChartPage, site: Site) -> None:
    chart.open("?symbol=EURUSD&source=SOURCE_2")
    count = len(chart.drawn())
    site.send(at(END + timedelta(seconds=1)), 1.2345, "SOURCE_2", "EURUSD")
    chart.wait("homma.drawn.candles.at(-1).close === 1.2345")
    newest = chart.read("candles.at(-1)")
    if newest["isFinal"] is False:
        assert chart.read("drawn.candles.at(-1).color") == chart.read("colours.back")
    # Five minutes late, so the tick corrects a final candle.
    late = END - timedelta(minutes=5)
    site.send(at(late), 0.9, "SOURCE_2", "EURUSD")
    chart.wait("homma.drawn.candles.some(c => c.low === 0.9)")
    corrected = chart.read("candles.find(c => c.low === 0.9)")
    assert corrected["revision"] == 2
    assert corrected["dateTime"].startswith(at(late.replace(second=0))[:16])
    assert len(chart.drawn()) == count
    for _ in range(6):
        chart.page.keyboard.press("ArrowLeft")
    expect(chart.page.locator("#legend")).to_contain_text("corrected, revision 2")
    expect(chart.page.locator("#spoken")).to_contain_text("low 0.90000")


def test_after_a_reconnect_nothing_is_missing(chart: ChartPage, site: Site) -> None:
    chart.open("?symbol=USDJPY&source=SOURCE_1")
    chart.page.evaluate("window.loadedOnce = true")
    site.stop()
    expect(chart.page.locator("#link")).to_have_text("Connection lost, reconnecting")
    site.send(at(END + timedelta(seconds=1)), 151.0, symbol="USDJPY")
    site.send(at(END - timedelta(minutes=4)), 140.0, symbol="USDJPY")
    site.start()
    expect(chart.page.locator("#link")).to_have_text("Live")
    chart.wait("homma.drawn.candles.at(-1).close === 151")
    chart.wait("homma.drawn.candles.some(c => c.low === 140)")
    assert chart.page.evaluate("window.loadedOnce")
    # The browser itself logs failed requests.
    assert all("ERR_" in message for message in chart.messages)
    chart.messages.clear()


def test_all_intervals(chart: ChartPage, site: Site) -> None:
    chart.open("?symbol=BTCUSD")
    assert chart.page.locator("#intervals input").count() == len(CODES)
    for code in reversed(CODES):
        chart.page.locator(f"#intervals label:has(input[value='{code}'])").click()
        chart.wait("homma.state.interval === expected", code)
        expected = rows(site.candles(code, symbol="BTCUSD", limit=500))
        assert expected
        chart.wait("homma.drawn.candles.length === expected", len(expected))
        assert chart.drawn() == expected
    assert "interval" not in chart.page.url


def test_other_intervals_than_the_default_ones(context: BrowserContext) -> None:
    server, records = make_server(calendar=calendar_of(["s1", "m20", "h2", "D1"])), RecordSequence()
    for n in range(30):
        start = f"2025-03-20T14:31:{n:02}.000"
        server.market.live.add("s1", records.record(start, close=1.0 + n / 100))
    server.market.live.add("h2", records.record("2025-03-20T14:00:00.000"))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        chart = ChartPage(context.new_page(), address)
        chart.open()
        buttons = chart.page.locator("#intervals label")
        expect(buttons).to_have_text(["s1", "m20", "h2", "D1"])
        expect(chart.page.get_by_label("1 second", exact=True)).to_be_checked()
        expect(chart.page.locator("#legend")).to_contain_text("20 Mar 2025 14:31:29")
        chart.wait("homma.state.interval === 's1' && homma.drawn.candles.length === 30")
        assert "interval" not in chart.page.url
        chart.page.locator("#chart").focus()
        chart.page.keyboard.press("i")
        chart.page.keyboard.type("h2")
        chart.wait("homma.state.interval === 'h2' && homma.drawn.candles.length === 1")
        assert "interval=h2" in chart.page.url
        assert chart.messages == []
        chart.page.close()


def test_scrolling_back_loads_older_candles(chart: ChartPage) -> None:
    chart.open("?symbol=BNBUSD&source=SOURCE_2")
    assert len(chart.drawn()) == 500
    newest = chart.drawn()[-1][0]
    for _ in range(20):
        chart.page.keyboard.press("Shift+ArrowLeft")
    chart.wait("homma.drawn.candles.length === expected", MINUTES)
    times = [row[0] for row in chart.drawn()]
    assert times == sorted(set(times))
    assert chart.read("seen.to") < newest
    chart.page.keyboard.press("End")
    chart.wait("homma.seen.to === expected", newest)


def test_keyboard_only(chart: ChartPage) -> None:
    chart.open("?symbol=BNBUSD&source=SOURCE_1")
    keyboard = chart.page.keyboard
    keyboard.press("/")
    keyboard.type("eur")
    keyboard.press("Enter")
    chart.wait("homma.state.symbol === 'EURUSD'")
    drawing = chart.page.locator("#chart")
    drawing.focus()
    keyboard.press("s")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    chart.wait("homma.state.source === 'SOURCE_2'")
    drawing.focus()
    keyboard.press("i")
    keyboard.type("h4")
    chart.wait("homma.state.interval === 'h4'")
    keyboard.type("M")
    chart.wait("homma.state.interval === 'M1'")
    keyboard.press("ArrowLeft")
    chart.wait("homma.state.interval === 'W1'")
    drawing.focus()
    keyboard.press("c")
    keyboard.press("Space")
    chart.wait("homma.state.compare.length === 1")
    keyboard.press("Escape")
    drawing.focus()
    keyboard.press("t")
    chart.wait("document.documentElement.dataset.theme === 'light'")
    keyboard.press("m")
    expect(chart.page.locator("#market")).to_be_hidden()
    keyboard.press("u")
    chart.wait("homma.state.zone === 'local'")
    # Every control can be reached with Tab.
    reached = set()
    for _ in range(40):
        keyboard.press("Tab")
        reached.add(
            chart.page.evaluate("document.activeElement.id || document.activeElement.tagName")
        )
    assert {
        "symbol",
        "source",
        "measure",
        "csv",
        "png",
        "zone",
        "theme",
        "market-switch",
        "chart",
    } <= reached


def test_sources_can_be_compared(chart: ChartPage, site: Site) -> None:
    chart.open("?symbol=BNBUSD&source=SOURCE_1")
    chart.page.get_by_role("button", name="Compare").click()
    chart.page.get_by_label("SOURCE_2").check()
    chart.page.get_by_label("SOURCE_3").check()
    chart.wait("homma.drawn.lines.length === 2 && homma.drawn.lines.every(l => l.length > 0)")
    source_3 = site.candles("m1", source="SOURCE_3", limit=500)
    assert chart.read("drawn.lines[1].map(p => p.value)") == [c["close"] for c in source_3]
    expect(chart.page.locator("#legend .other")).to_have_count(2)
    site.send(at(END + timedelta(seconds=2)), 630.5, "SOURCE_3")
    chart.wait("homma.drawn.lines[1].at(-1).value === 630.5")
    chart.page.get_by_label("SOURCE_2").uncheck()
    chart.wait("homma.drawn.lines.length === 1")


def test_the_visible_candles_are_exported(chart: ChartPage, site: Site, tmp_path: Path) -> None:
    chart.open("?symbol=GBPUSD&interval=m5")
    with chart.page.expect_download() as saving:
        chart.page.get_by_role("button", name="CSV").click()
    assert saving.value.suggested_filename == "GBPUSD-SOURCE_2-m5.csv"
    saving.value.save_as(tmp_path / "seen.csv")
    saved = list(csv.DictReader(io.StringIO((tmp_path / "seen.csv").read_text())))
    first, last = chart.read("seen.from"), chart.read("seen.to")
    candles = site.candles("m5", symbol="GBPUSD", source="SOURCE_2", limit=500)
    visible = [candle for candle in candles if first <= candle["time"] <= last]
    assert [row["dateTime"] for row in saved] == [candle["dateTime"] for candle in visible]
    public = [field.json for field in CANDLE_FIELDS if field.public]
    assert list(saved[0]) == ["source", "symbol", "interval", *public]
    assert [int(row["tickCount"]) for row in saved] == [candle["tickCount"] for candle in visible]
    assert [float(row["close"]) for row in saved] == [candle["close"] for candle in visible]
    with chart.page.expect_download() as saving:
        chart.page.get_by_role("button", name="PNG").click()
    saving.value.save_as(tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_the_url_contains_the_state(chart: ChartPage) -> None:
    query = "?symbol=BNBUSD&source=SOURCE_2&interval=m15&theme=light&zone=local&compare=SOURCE_1"
    chart.open(query)
    state = chart.read("state")
    assert (state["interval"], state["theme"], state["compare"]) == ("m15", "light", ["SOURCE_1"])
    chart.page.locator("#quotes a", has_text="USDJPY").click()
    chart.wait("homma.state.symbol === 'USDJPY' && homma.drawn.candles.length > 0")
    assert "symbol=USDJPY" in chart.page.url
    assert "interval=m15" in chart.page.url
    chart.page.go_back()
    chart.wait("homma.state.symbol === 'BNBUSD' && homma.state.compare.length === 1")


def test_the_market_overview_lists_all_series(chart: ChartPage) -> None:
    chart.open()
    expect(chart.page.locator("#quotes li")).to_have_count(len(SERIES))
    lines = chart.page.locator("#quotes polyline")
    assert len((lines.first.get_attribute("points") or "").split()) > 10
    chart.page.locator("#market-filter").fill("eur")
    expect(chart.page.locator("#quotes li:visible")).to_have_count(2)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_page_is_accessible(chart: ChartPage, theme: str) -> None:
    chart.open(f"?symbol=BNBUSD&source=SOURCE_1&compare=SOURCE_2&theme={theme}")
    assert chart.violations() == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1600, 900)])
def test_the_page_fits_phones_and_wide_screens(chart: ChartPage, width: int, height: int) -> None:
    chart.page.set_viewport_size({"width": width, "height": height})
    chart.open()
    assert chart.page.evaluate("document.documentElement.scrollWidth") <= width
    box = chart.page.locator("#chart").bounding_box()
    assert box is not None
    assert box["width"] >= min(390, width - 320)
    assert box["height"] > height / 2
    for control in ("symbol", "source", "measure", "csv", "png", "zone", "theme", "market-switch"):
        expect(chart.page.locator(f"#{control}")).to_be_in_viewport(ratio=1)
    last = chart.page.locator("#intervals label").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport(ratio=1)
    if width < 700:
        chart.page.locator("#market-switch").click()
        chart.page.locator("#quotes a", has_text="EURUSD").first.click()
        chart.wait("homma.state.symbol === 'EURUSD'")
        expect(chart.page.locator("#chart")).to_be_visible()


@pytest.fixture
def token(site: Site) -> Iterator[str]:
    """The site, restarted with a token."""
    value = "a-token-of-this-test-alone"
    site.stop()
    site.start(value)
    yield value
    site.stop()
    site.start()


def test_the_token_is_asked_for_once(browser: Browser, site: Site, token: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.address)
    field = page.get_by_label("This server requires a token.")
    field.fill("not the token at all")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#login-failed")).to_have_text("Wrong token.")
    field.fill(token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_function(DRAWN)
    expect(page.locator("#login")).to_be_hidden()
    page.reload()
    page.wait_for_function(DRAWN)
    assert token not in str(context.cookies())
    context.close()
