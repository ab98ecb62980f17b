"""The page as somebody has it before them, and what it holds and complains of."""

from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request


class Look:
    """One open page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def open(self, query: str = "") -> None:
        """Go there, and wait until candles are drawn."""
        self.page.goto(self.address + "/" + query)
        self.wait("homma.drawn.candles.length > 0")

    def wait(self, condition: str, wanted: Any = None) -> None:
        """Wait until a condition holds in the page; `wanted` is known by that name there."""
        self.page.wait_for_function(f"wanted => window.homma && ({condition})", arg=wanted)

    def held(self, what: str) -> Any:
        """A part of what the page holds."""
        return self.page.evaluate(f"homma.{what}")

    def drawn(self) -> list[list[float]]:
        """The candles that are drawn: time, open, high, low, close."""
        found: list[list[float]] = self.page.evaluate(
            "homma.drawn.candles.map(c => [c.time, c.open, c.high, c.low, c.close])"
        )
        return found

    def pixels(self, colour: str) -> int:
        """How many of the chart's pixels have one of its colours."""
        found: int = self.page.evaluate(_PIXELS, colour)
        return found

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.address, "blob:" + self.address)):
            self.elsewhere.append(request.url)


_PIXELS = """name => {
  const parts = homma.colours[name].match(/[0-9a-f]{2}/g).slice(0, 3);
  const wanted = parts.map(two => parseInt(two, 16));
  let count = 0;
  for (const canvas of document.querySelectorAll("#chart canvas")) {
    if (canvas.width === 0 || canvas.height === 0) continue;
    // A copy: the browser minds that a canvas in use is read.
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4)
      if (wanted.every((part, n) => data[i + n] === part) && data[i + 3] === 255) count += 1;
  }
  return count;
}"""
