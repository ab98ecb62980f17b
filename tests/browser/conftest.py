"""A browser, and a pipeline whose candles it shows."""

import shutil
import tempfile
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from tests.browser.looking import Look
from tests.browser.site import Site
from tests.browser.walk import history
from tests.stack.waiting import NEVER_S, free_ports

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Without the last ones it asks for Google's hosts, and everything here is to stay on this machine.
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
    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "install Chromium: apt-get install chromium"
    browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
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
def look(context: BrowserContext, site: Site) -> Iterator[Look]:
    """A page that is open, and must not have complained when the test is over."""
    look = Look(context.new_page(), site.address)
    yield look
    assert look.complaints == []
    assert look.elsewhere == []
