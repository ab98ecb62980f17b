"""The chart page in a browser: what it shows, and its error messages."""

from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request

#: The number of candles that the chart shows now, in JavaScript.
IN_VIEW = "homma.candles.filter(c => c.time >= homma.seen.from && c.time <= homma.seen.to).length"


class ChartPage:
    """One open page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.messages: list[str] = []
        self.external_requests: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", self._on_request)

    def open(self, query: str = "") -> None:
        """Open the page, and wait until candles are drawn."""
        self.page.goto(self.address + "/" + query)
        self.wait("homma.drawn.candles.length > 0")

    def wait(self, condition: str, expected: Any = None) -> None:
        """Wait until a JavaScript condition holds; the condition can use `expected`."""
        self.page.wait_for_function(f"expected => window.homma && ({condition})", arg=expected)

    def read(self, expression: str) -> Any:
        """Evaluate an expression on the page's `homma` object."""
        return self.page.evaluate(f"homma.{expression}")

    def drawn(self) -> list[list[float]]:
        """The drawn candles: time, open, high, low, close."""
        candles: list[list[float]] = self.page.evaluate(
            "homma.drawn.candles.map(c => [c.time, c.open, c.high, c.low, c.close])"
        )
        return candles

    def pixels(self, colour: str) -> int:
        """The number of pixels of the chart that have this color."""
        count: int = self.page.evaluate(_PIXELS, colour)
        return count

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the accessibility of the page as it is now."""
        axe = Path("src/homma/serve/page/node_modules/axe-core/axe.min.js").read_text()
        self.page.evaluate(axe)
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in self.page.evaluate("axe.run()")["violations"]
            for node in violation["nodes"]
        ]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.messages.append(message.text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "blob:" + self.address)):
            self.external_requests.append(request.url)


_PIXELS = """name => {
  const parts = homma.colours[name].match(/[0-9a-f]{2}/g).slice(0, 3);
  const rgb = parts.map(hex => parseInt(hex, 16));
  let count = 0;
  for (const canvas of document.querySelectorAll("#chart canvas")) {
    if (canvas.width === 0 || canvas.height === 0) continue;
    // A copy, as the browser warns if a canvas in use is read.
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4)
      if (rgb.every((part, n) => data[i + n] === part) && data[i + 3] === 255) count += 1;
  }
  return count;
}"""
