"""The README's pictures: `PICTURES=docs/images make test ARGS="-k pictures"`."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chart_page import ChartPage
from tests.browser.site import Site
from tests.browser.walk import END, at
from tests.support.waiting import until

COMPARED = "?symbol=BNBUSD&source=SOURCE_1&compare=SOURCE_2&compare=SOURCE_3&interval=m5"
PICTURES = {
    "chart": (1280, 720, "dark", "?symbol=BNBUSD&source=SOURCE_1&study=ema50&study=bb20"),
    "compare": (1280, 720, "light", COMPARED),
    "phone": (390, 844, "dark", "?symbol=EURUSD&source=SOURCE_1"),
}


def not_silent(site: Site) -> bool:
    series = site.get("/api/overview", interval="m1")["series"]
    return bool(min(row["silenceMs"] for row in series) < 30_000)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(browser: Browser, site: Site, tmp_path: Path, name: str) -> None:
    width, height, theme, query = PICTURES[name]
    # Otherwise the page would say that the feed has stopped.
    site.send(at(END + timedelta(seconds=30)), 148.9, symbol="USDJPY")
    until(lambda: not_silent(site))
    page = browser.new_page(viewport={"width": width, "height": height})
    chart = ChartPage(page, site.address)
    chart.open(f"{query}&theme={theme}")
    if name == "chart":
        close = chart.read("candles.at(-1).close")
        for second, change in enumerate((0.1, -0.2, 0.5, 0.4)):
            site.send(at(END + timedelta(seconds=40 + second)), round(close + change, 2))
        chart.wait("homma.candles.at(-1).close === expected", round(close + 0.4, 2))
    chart.wait("document.querySelectorAll('#quotes li').length > 0")
    page.evaluate("document.activeElement.blur()")
    folder = Path(os.environ.get("PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    png = page.screenshot(path=folder / f"{name}.png")
    assert png.startswith(b"\x89PNG")
    page.close()
