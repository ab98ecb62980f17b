"""Fixtures: a browser, and a site that shows the candles of a pipeline."""

import shutil
import tempfile
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from tests.browser.chart_page import ChartPage
from tests.browser.site import Site
from tests.browser.walk import history
from tests.support.waiting import NEVER_S, free_ports

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The last four stop requests to Google's hosts: tests must not leave this machine.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=NEVER_S * 1000)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    assert executable, "install Chromium: apt-get install chromium"
    browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def site(bootstrap: str) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as home:
        site = Site(bootstrap, free_ports(1)[0], home)
        site.pipeline.send_many(history())
        with site.pipeline.running():
            site.start()
            site.until_ready()
            yield site
            site.stop()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1600, "height": 900}, color_scheme="dark")
    context.set_default_timeout(NEVER_S * 1000)
    yield context
    context.close()


@pytest.fixture
def chart(context: BrowserContext, site: Site) -> Iterator[ChartPage]:
    """A new page, which must have logged no errors when the test ends."""
    chart = ChartPage(context.new_page(), site.address)
    yield chart
    assert chart.messages == []
    assert chart.external_requests == []
