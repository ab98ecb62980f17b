"""`homma serve` in this process, with candles that a test chooses and no Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from homma.serve.http.app import Server
from homma.topics.latest import CandleRecord
from tests.support.candle_records import candle_key, candle_value
from tests.support.serving import NOW, make_server, running

#: The start of the newest m1 candle.
NEWEST: Final = datetime(2025, 3, 20, 14, 31)
COUNT: Final = 400
_STEPS: Final = {"m1": timedelta(minutes=1), "h1": timedelta(hours=1), "D1": timedelta(days=1)}


def close_of(minutes_before: int) -> float:
    """The close of a candle of the history, by its distance from the newest one."""
    return 100.0 + (minutes_before * 7 % 13) / 4


class Market:
    """A running server, and the candles it has."""

    def __init__(self, server: Server, address: str) -> None:
        self.address = address
        self._server = server
        self._offset = 0

    def add_history(self, symbol: str, ticks: int = 10, silence_s: float = 0) -> None:
        """Add COUNT candles of SOURCE in m1, h1 and D1, each with this number of ticks."""
        for code, step in _STEPS.items():
            newest = _floor(NEWEST, code)
            for n in reversed(range(COUNT)):
                close = close_of(n)
                prices = {"open": close, "high": close + 0.5, "low": close - 0.5, "close": close}
                self._add(code, symbol, newest - n * step, silence_s, volume=ticks, **prices)

    def send(self, symbol: str, at: datetime, close: float, **fields: Any) -> None:
        """Publish an m1 candle that has only this price."""
        prices = dict.fromkeys(("open", "high", "low", "close"), close)
        self._add("m1", symbol, at, 0, **{**prices, **fields})

    def _add(
        self, code: str, symbol: str, start: datetime, silence_s: float, **fields: Any
    ) -> None:
        self._offset += 1
        text = start.isoformat(timespec="milliseconds")
        fields.setdefault("tickCount", fields.get("volume", 1))
        value = candle_value(text, "SOURCE", symbol, **fields)
        written_ms = int((NOW.timestamp() - silence_s) * 1000)
        key = candle_key(text, "SOURCE", symbol)
        record = CandleRecord(0, self._offset, written_ms, key, value)
        change = self._server.market.live.add(code, record)
        assert change is not None
        self._server.streams.events.add_change(code, change)
        self._server.streams.notify()


def _floor(instant: datetime, code: str) -> datetime:
    hour = 0 if code == "D1" else instant.hour
    return instant if code == "m1" else instant.replace(hour=hour, minute=0)


@contextmanager
def market(**ticks: int) -> Iterator[Market]:
    """A server with the history of these symbols, each with so many ticks in a candle."""
    server = make_server()
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    with running(server) as address:
        site = Market(server, address)
        for symbol, count in ticks.items():
            site.add_history(symbol, count)
        yield site
