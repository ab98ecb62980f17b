"""TradingView's UDF protocol, for chart front ends that support it.

Refused requests get the protocol's own error format, with the HTTP status.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from homma.core.calendar import Calendar
from homma.errors import RequestRefused
from homma.serve.candles import CandleHistory
from homma.serve.http import parameters
from homma.serve.http.api import Clock, json_response, read_query
from homma.serve.live import CandleRange, Live
from homma.serve.wire import epoch_s, exact_text
from homma.topics.candle import Candle, SeriesKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DIGITS: Final = 10


class Udf:
    """The five endpoints of the protocol."""

    def __init__(self, live: Live, candles: CandleHistory, clock: Clock) -> None:
        self._live = live
        self._candles = candles
        self._clock = clock
        self._history = parameters.of_calendar(live.calendar).udf_history

    async def config(self, request: Request) -> Response:
        """The supported features, resolutions and sources."""
        del request
        sources = sorted({source for source, _ in self._live.series()})
        return json_response(
            {
                "supported_resolutions": _resolutions(self._live.calendar),
                "supports_group_request": False,
                "supports_marks": False,
                "supports_search": True,
                "supports_timescale_marks": False,
                "supports_time": True,
                "exchanges": [{"value": "", "name": "all sources", "desc": ""}]
                + [{"value": s, "name": s, "desc": s} for s in sources],
                "symbols_types": [{"name": "all", "value": ""}],
            }
        )

    async def symbols(self, request: Request) -> Response:
        """The properties of a symbol."""
        series = self._series(read_query(request, parameters.UDF_SYMBOLS, strict=False)["symbol"])
        source, symbol = series
        return json_response(
            {
                "name": symbol,
                "ticker": f"{source}:{symbol}",
                "full_name": f"{source}:{symbol}",
                "description": symbol,
                "type": "",
                "exchange": source,
                "listed_exchange": source,
                "timezone": "Etc/UTC",
                "session": "24x7",
                "format": "price",
                "minmov": 1,
                "minmovement": 1,
                "pricescale": 10 ** self._price_digits(series),
                **_multipliers(self._live.calendar),
                "supported_resolutions": _resolutions(self._live.calendar),
                "volume_precision": self._volume_digits(series),
                "data_status": "streaming",
            }
        )

    def _price_digits(self, series: SeriesKey) -> int:
        newest = self._newest(series)
        prices = [price for c in newest for price in (c.open, c.high, c.low, c.close)]
        return max((_decimals(price) for price in prices), default=2)

    def _volume_digits(self, series: SeriesKey) -> int:
        return max((_fraction_digits(c.volume) for c in self._newest(series)), default=0)

    def _newest(self, series: SeriesKey) -> list[Candle]:
        """The newest candles of a series in each interval."""
        intervals = self._live.calendar.codes
        return [candle for code in intervals for candle in self._live.newest(code, series, 20)]

    async def search(self, request: Request) -> Response:
        """Symbols that contain a text."""
        query = read_query(request, parameters.UDF_SEARCH, strict=False)
        part, source = query["query"].casefold(), query["exchange"]
        rows = [
            {
                "symbol": symbol,
                "full_name": f"{name}:{symbol}",
                "ticker": f"{name}:{symbol}",
                "description": symbol,
                "exchange": name,
                "type": "",
            }
            for name, symbol in self._live.series()
            if part in f"{name}:{symbol}".casefold() and source in ("", name)
        ]
        # Symbols that start with the text come first.
        rows.sort(key=lambda row: not row["symbol"].casefold().startswith(part))
        return json_response(rows[: query["limit"]])

    async def history(self, request: Request) -> Response:
        """The bars of a symbol."""
        query = read_query(request, self._history, strict=False)
        series, interval = self._series(query["symbol"]), query["resolution"]
        since, until = _instant(query["from"]), _instant(query["to"])
        if query["countback"]:
            count = min(query["countback"], parameters.MAX_CANDLES)
            span = CandleRange(series, None, until, count)
        else:
            span = CandleRange(series, since, until, parameters.MAX_CANDLES)
        candles = (await self._candles.find(interval, span)).candles if since < until else []
        if candles:
            return json_response({"s": "ok", **_bars(candles)})
        before = (await self._candles.find(interval, CandleRange(series, None, since, 1))).candles
        next_time = {"nextTime": epoch_s(before[-1])} if before else {}
        return json_response({"s": "no_data", **next_time})

    async def time(self, request: Request) -> Response:
        """The server's time."""
        del request
        seconds = str(int(self._clock().timestamp()))
        return PlainTextResponse(seconds, headers={"cache-control": "no-store"})

    def _series(self, text: str) -> SeriesKey:
        series = self._live.series()
        exact = [s for s in series if ":".join(s) == text]
        matches = exact or [s for s in series if s[1] == text]
        if len(matches) == 1:
            return matches[0]
        if matches:
            sources = ", ".join(source for source, _ in matches)
            raise RequestRefused(
                f"{text[:80]} has several sources: {sources}",
                "choose one with SOURCE:SYMBOL",
                400,
                "symbol",
            )
        raise RequestRefused(f"there is no symbol {text[:80]}", "see /udf/search", 404, "symbol")


def error_response(error: RequestRefused) -> Response:
    """A refused request in the protocol's error format."""
    return json_response({"s": "error", "errmsg": str(error)}, error.status)


def _resolutions(calendar: Calendar) -> list[str]:
    return [interval.resolution for interval in calendar]


def _multipliers(calendar: Calendar) -> dict[str, Any]:
    """Which bars a symbol has: those of each unit, as the protocol divides them."""
    of_unit: dict[str, list[str]] = {unit: [] for unit in ("S", "", "D", "W", "M")}
    for resolution in _resolutions(calendar):
        multiplier = resolution.rstrip("SDWM")
        of_unit[resolution.removeprefix(multiplier)].append(multiplier)
    seconds, minutes, days, weeks, months = of_unit.values()
    return {
        # By default, the protocol has no seconds.
        **({"has_seconds": True, "seconds_multipliers": seconds} if seconds else {}),
        "has_intraday": bool(minutes),
        "intraday_multipliers": minutes,
        "has_daily": bool(days),
        "daily_multipliers": days,
        "has_weekly_and_monthly": bool(weeks or months),
        "weekly_multipliers": weeks,
        "monthly_multipliers": months,
    }


def _bars(candles: Sequence[Candle]) -> dict[str, list[Any]]:
    return {
        "t": [epoch_s(c) for c in candles],
        "o": [c.open for c in candles],
        "h": [c.high for c in candles],
        "l": [c.low for c in candles],
        "c": [c.close for c in candles],
        # A double is all that a client would read, and its text is the shortest one.
        "v": [c.volume if isinstance(c.volume, int) else float(c.volume) for c in candles],
    }


def _instant(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=max(0, seconds))


def _decimals(price: float) -> int:
    text = repr(price)
    if "e" in text:
        return _MAX_DIGITS if "e-" in text else 0
    return min(_MAX_DIGITS, len(text.partition(".")[2].rstrip("0")))


def _fraction_digits(volume: int | Decimal) -> int:
    """The number of digits after the point."""
    return len(exact_text(volume).partition(".")[2])
