"""The page in a real browser, over candles that a real engine has made."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from homma.core.interval import INTERVALS
from tests.browser.looking import Look
from tests.browser.site import Site
from tests.browser.walk import END, MINUTES, SERIES, at
from tests.serve.serving import Counting, made, running
from tests.stack.waiting import until

# A function, as the page's policy forbids to evaluate text there.
DRAWN = "() => window.homma && window.homma.drawn.candles.length > 0"
CODES = [interval.code for interval in INTERVALS]


def rows(candles: list[dict[str, Any]]) -> list[list[float]]:
    return [[c["time"], c["open"], c["high"], c["low"], c["close"]] for c in candles]


def test_the_candles_are_drawn(look: Look, site: Site) -> None:
    look.open("?symbol=BNBUSD&source=SOURCE_1")
    assert look.drawn() == rows(site.candles("m1", limit=500))
    volumes = [column["value"] for column in look.held("drawn.volume")]
    assert volumes == [candle["volume"] for candle in site.candles("m1", limit=500)]
    until(lambda: look.pixels("up") > 500 and look.pixels("down") > 500)
    expect(look.page.locator("#legend")).to_contain_text("BNBUSD SOURCE_1 · m1")
    expect(look.page.locator("#link")).to_have_text("Live")


def test_what_it_is_made_of_is_named(look: Look) -> None:
    look.open()
    link = look.page.get_by_role("link", name="Charts by TradingView")
    expect(link).to_be_visible()
    expect(link).to_have_attribute("href", "https://www.tradingview.com/")


def test_the_policy_allows_nothing_from_elsewhere(look: Look) -> None:
    answer = look.page.goto(look.address)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_before_the_first_tick(context: BrowserContext) -> None:
    server = made()
    server.market.live.settle()
    server.market.ready = True
    with running(server) as address:
        look = Look(context.new_page(), address)
        look.page.goto(address)
        expect(look.page.locator("#notice")).to_have_text("Waiting for the first candle.")
        change = server.market.live.add(0, Counting().record(close=1.25))
        assert change is not None
        server.streams.events.changed(0, change)
        server.streams.notify()
        look.wait("homma.drawn.candles.length === 1")
        expect(look.page.locator("#notice")).to_be_hidden()
        expect(look.page.locator("#link")).to_have_text("Live")
        assert look.complaints == []
        look.page.close()


def test_an_update_and_a_correction_arrive(look: Look, site: Site) -> None:
    look.open("?symbol=EURUSD&source=SOURCE_2")
    count = len(look.drawn())
    site.send(at(END + timedelta(seconds=1)), 1.2345, "SOURCE_2", "EURUSD")
    look.wait("homma.drawn.candles.at(-1).close === 1.2345")
    newest = look.held("candles.at(-1)")
    if newest["isFinal"] is False:
        assert look.held("drawn.candles.at(-1).color") == look.held("colours.back")
    # Five minutes late: into a candle that is final.
    late = END - timedelta(minutes=5)
    site.send(at(late), 0.9, "SOURCE_2", "EURUSD")
    look.wait("homma.drawn.candles.some(c => c.low === 0.9)")
    corrected = look.held("candles.find(c => c.low === 0.9)")
    assert corrected["revision"] == 2
    assert corrected["dateTime"].startswith(at(late.replace(second=0))[:16])
    assert len(look.drawn()) == count
    for _ in range(6):
        look.page.keyboard.press("ArrowLeft")
    expect(look.page.locator("#legend")).to_contain_text("corrected, revision 2")
    expect(look.page.locator("#spoken")).to_contain_text("low 0.90000")


def test_it_comes_back_with_what_it_missed(look: Look, site: Site) -> None:
    look.open("?symbol=USDJPY&source=SOURCE_1")
    look.page.evaluate("window.loadedOnce = true")
    site.stop()
    expect(look.page.locator("#link")).to_have_text("Connection lost, trying again")
    site.send(at(END + timedelta(seconds=1)), 151.0, symbol="USDJPY")
    site.send(at(END - timedelta(minutes=4)), 140.0, symbol="USDJPY")
    site.start()
    expect(look.page.locator("#link")).to_have_text("Live")
    look.wait("homma.drawn.candles.at(-1).close === 151")
    look.wait("homma.drawn.candles.some(c => c.low === 140)")
    assert look.page.evaluate("window.loadedOnce")
    # The browser itself tells of requests that found nobody.
    assert all("ERR_" in complaint for complaint in look.complaints)
    look.complaints.clear()


def test_all_intervals(look: Look, site: Site) -> None:
    look.open("?symbol=BTCUSD")
    assert look.page.locator("#intervals input").count() == len(CODES)
    for code in reversed(CODES):
        look.page.locator(f"#intervals label:has(input[value='{code}'])").click()
        look.wait("homma.state.interval === wanted", code)
        expected = rows(site.candles(code, symbol="BTCUSD", limit=500))
        assert expected
        look.wait("homma.drawn.candles.length === wanted", len(expected))
        assert look.drawn() == expected
    assert "interval" not in look.page.url


def test_older_ones_come_as_one_scrolls_back(look: Look) -> None:
    look.open("?symbol=BNBUSD&source=SOURCE_2")
    assert len(look.drawn()) == 500
    newest = look.drawn()[-1][0]
    for _ in range(20):
        look.page.keyboard.press("Shift+ArrowLeft")
    look.wait("homma.drawn.candles.length === wanted", MINUTES)
    times = [row[0] for row in look.drawn()]
    assert times == sorted(set(times))
    assert look.held("seen.to") < newest
    look.page.keyboard.press("End")
    look.wait("homma.seen.to === wanted", newest)


def test_with_the_keyboard_alone(look: Look) -> None:
    look.open("?symbol=BNBUSD&source=SOURCE_1")
    keyboard = look.page.keyboard
    keyboard.press("/")
    keyboard.type("eur")
    keyboard.press("Enter")
    look.wait("homma.state.symbol === 'EURUSD'")
    chart = look.page.locator("#chart")
    chart.focus()
    keyboard.press("s")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    look.wait("homma.state.source === 'SOURCE_2'")
    chart.focus()
    keyboard.press("i")
    keyboard.type("h4")
    look.wait("homma.state.interval === 'h4'")
    keyboard.type("M")
    look.wait("homma.state.interval === 'M1'")
    keyboard.press("ArrowLeft")
    look.wait("homma.state.interval === 'W1'")
    chart.focus()
    keyboard.press("c")
    keyboard.press("Space")
    look.wait("homma.state.compare.length === 1")
    keyboard.press("Escape")
    chart.focus()
    keyboard.press("t")
    look.wait("document.documentElement.dataset.theme === 'light'")
    keyboard.press("m")
    expect(look.page.locator("#market")).to_be_hidden()
    keyboard.press("u")
    look.wait("homma.state.zone === 'local'")
    # Every control can be reached, and shows that it has been.
    reached = set()
    for _ in range(40):
        keyboard.press("Tab")
        reached.add(
            look.page.evaluate("document.activeElement.id || document.activeElement.tagName")
        )
    assert {"symbol", "source", "csv", "png", "zone", "theme", "market-switch", "chart"} <= reached


def test_sources_are_laid_over_each_other(look: Look, site: Site) -> None:
    look.open("?symbol=BNBUSD&source=SOURCE_1")
    look.page.get_by_role("button", name="Compare").click()
    look.page.get_by_label("SOURCE_2").check()
    look.page.get_by_label("SOURCE_3").check()
    look.wait("homma.drawn.lines.length === 2 && homma.drawn.lines.every(l => l.length > 0)")
    other = site.candles("m1", source="SOURCE_3", limit=500)
    assert look.held("drawn.lines[1].map(p => p.value)") == [c["close"] for c in other]
    expect(look.page.locator("#legend .other")).to_have_count(2)
    site.send(at(END + timedelta(seconds=2)), 630.5, "SOURCE_3")
    look.wait("homma.drawn.lines[1].at(-1).value === 630.5")
    look.page.get_by_label("SOURCE_2").uncheck()
    look.wait("homma.drawn.lines.length === 1")


def test_what_is_seen_is_saved(look: Look, site: Site, tmp_path: Path) -> None:
    look.open("?symbol=GBPUSD&interval=m5")
    with look.page.expect_download() as saving:
        look.page.get_by_role("button", name="CSV").click()
    assert saving.value.suggested_filename == "GBPUSD-SOURCE_2-m5.csv"
    saving.value.save_as(tmp_path / "seen.csv")
    saved = list(csv.DictReader(io.StringIO((tmp_path / "seen.csv").read_text())))
    first, last = look.held("seen.from"), look.held("seen.to")
    known = site.candles("m5", symbol="GBPUSD", source="SOURCE_2", limit=500)
    seen = [candle for candle in known if first <= candle["time"] <= last]
    assert [row["dateTime"] for row in saved] == [candle["dateTime"] for candle in seen]
    assert [float(row["close"]) for row in saved] == [candle["close"] for candle in seen]
    with look.page.expect_download() as saving:
        look.page.get_by_role("button", name="PNG").click()
    saving.value.save_as(tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_the_address_holds_the_state(look: Look) -> None:
    query = "?symbol=BNBUSD&source=SOURCE_2&interval=m15&theme=light&zone=local&compare=SOURCE_1"
    look.open(query)
    state = look.held("state")
    assert (state["interval"], state["theme"], state["compare"]) == ("m15", "light", ["SOURCE_1"])
    look.page.locator("#quotes a", has_text="USDJPY").click()
    look.wait("homma.state.symbol === 'USDJPY' && homma.drawn.candles.length > 0")
    assert "symbol=USDJPY" in look.page.url
    assert "interval=m15" in look.page.url
    look.page.go_back()
    look.wait("homma.state.symbol === 'BNBUSD' && homma.state.compare.length === 1")


def test_the_market_at_a_glance(look: Look) -> None:
    look.open()
    expect(look.page.locator("#quotes li")).to_have_count(len(SERIES))
    lines = look.page.locator("#quotes polyline")
    assert len((lines.first.get_attribute("points") or "").split()) > 10
    look.page.locator("#market-filter").fill("eur")
    expect(look.page.locator("#quotes li:visible")).to_have_count(2)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_is_accessible(look: Look, theme: str) -> None:
    look.open(f"?symbol=BNBUSD&source=SOURCE_1&compare=SOURCE_2&theme={theme}")
    axe = Path("src/homma/serve/page/node_modules/axe-core/axe.min.js").read_text()
    look.page.evaluate(axe)
    found = look.page.evaluate("axe.run()")
    told = [
        f"{v['id']}: {node['target']} {node['failureSummary']}"
        for v in found["violations"]
        for node in v["nodes"]
    ]
    assert told == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1600, 900)])
def test_it_fits_phones_and_wide_screens(look: Look, width: int, height: int) -> None:
    look.page.set_viewport_size({"width": width, "height": height})
    look.open()
    assert look.page.evaluate("document.documentElement.scrollWidth") <= width
    chart = look.page.locator("#chart").bounding_box()
    assert chart is not None
    assert chart["width"] >= min(390, width - 320)
    assert chart["height"] > height / 2
    for control in ("#symbol", "#source", "#csv", "#png", "#zone", "#theme", "#market-switch"):
        expect(look.page.locator(control)).to_be_in_viewport(ratio=1)
    last = look.page.locator("#intervals label").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport(ratio=1)
    if width < 700:
        look.page.locator("#market-switch").click()
        look.page.locator("#quotes a", has_text="EURUSD").first.click()
        look.wait("homma.state.symbol === 'EURUSD'")
        expect(look.page.locator("#chart")).to_be_visible()


@pytest.fixture
def guarded(site: Site) -> Iterator[str]:
    """The same site, which asks for a token now."""
    token = "a-token-of-this-test-alone"
    site.stop()
    site.start(token)
    yield token
    site.stop()
    site.start()


def test_a_token_is_asked_for_once(browser: Browser, site: Site, guarded: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.address)
    field = page.get_by_label("This server asks for its token.")
    field.fill("not the token at all")
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#login-failed")).to_have_text("That is not the token.")
    field.fill(guarded)
    page.get_by_role("button", name="Enter").click()
    page.wait_for_function(DRAWN)
    expect(page.locator("#login")).to_be_hidden()
    page.reload()
    page.wait_for_function(DRAWN)
    assert guarded not in str(context.cookies())
    context.close()
