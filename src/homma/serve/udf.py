"""TradingView's UDF protocol, so that chart front ends that speak it can be pointed here.

Where one of these answers refuses, it does so in the protocol's own words, with HTTP's status.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from homma.core.interval import DAY_US, INTERVALS
from homma.errors import RequestRefused
from homma.serve import parameters
from homma.serve.api import Clock, as_json, asked
from homma.serve.candles import CandleHistory
from homma.serve.live import CandleRange, Live
from homma.serve.wire import epoch_s
from homma.topics.latest import Candle, SeriesKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DIGITS: Final = 10
_INTRADAY: Final = [
    resolution
    for resolution, interval in zip(parameters.RESOLUTIONS, INTERVALS, strict=True)
    if interval.longest_us < DAY_US
]


class Udf:
    """The five addresses of the protocol."""

    def __init__(self, live: Live, candles: CandleHistory, clock: Clock) -> None:
        self._live = live
        self._candles = candles
        self._clock = clock

    async def config(self, request: Request) -> Response:
        """What is supported."""
        del request
        sources = sorted({source for source, _ in self._live.series()})
        return as_json(
            {
                "supported_resolutions": list(parameters.RESOLUTIONS),
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
        """What a symbol is like."""
        series = self._series(asked(request, parameters.UDF_SYMBOLS, strict=False)["symbol"])
        source, symbol = series
        return as_json(
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
                "pricescale": 10 ** self._digits(series),
                "has_intraday": True,
                "intraday_multipliers": _INTRADAY,
                "has_daily": True,
                "daily_multipliers": ["1"],
                "has_weekly_and_monthly": True,
                "weekly_multipliers": ["1"],
                "monthly_multipliers": ["1"],
                "supported_resolutions": list(parameters.RESOLUTIONS),
                "volume_precision": 0,
                "data_status": "streaming",
            }
        )

    def _digits(self, series: SeriesKey) -> int:
        prices = [
            price
            for interval in range(len(INTERVALS))
            for candle in self._live.newest(interval, series, 20)
            for price in (candle.open, candle.high, candle.low, candle.close)
        ]
        return max((_decimals(price) for price in prices), default=2)

    async def search(self, request: Request) -> Response:
        """Symbols by a part of their name."""
        query = asked(request, parameters.UDF_SEARCH, strict=False)
        part, source = query["query"].casefold(), query["exchange"]
        found = [
            {
                "symbol": symbol,
                "full_name": f"{of}:{symbol}",
                "ticker": f"{of}:{symbol}",
                "description": symbol,
                "exchange": of,
                "type": "",
            }
            for of, symbol in self._live.series()
            if part in f"{of}:{symbol}".casefold() and source in ("", of)
        ]
        # Those that begin so come first.
        found.sort(key=lambda row: not row["symbol"].casefold().startswith(part))
        return as_json(found[: query["limit"]])

    async def history(self, request: Request) -> Response:
        """Bars."""
        query = asked(request, parameters.UDF_HISTORY, strict=False)
        series, interval = self._series(query["symbol"]), query["resolution"]
        since, until = _at(query["from"]), _at(query["to"])
        if query["countback"]:
            count = min(query["countback"], parameters.MOST_CANDLES)
            span = CandleRange(series, None, until, count)
        else:
            span = CandleRange(series, since, until, parameters.MOST_CANDLES)
        found = (await self._candles.find(interval, span)).candles if since < until else []
        if found:
            return as_json({"s": "ok", **_bars(found)})
        before = (await self._candles.find(interval, CandleRange(series, None, since, 1))).candles
        next_time = {"nextTime": epoch_s(before[-1])} if before else {}
        return as_json({"s": "no_data", **next_time})

    async def time(self, request: Request) -> Response:
        """The server's clock."""
        del request
        seconds = str(int(self._clock().timestamp()))
        return PlainTextResponse(seconds, headers={"cache-control": "no-store"})

    def _series(self, text: str) -> SeriesKey:
        every = self._live.series()
        exact = [s for s in every if ":".join(s) == text]
        found = exact or [s for s in every if s[1] == text]
        if len(found) == 1:
            return found[0]
        if found:
            sources = ", ".join(source for source, _ in found)
            raise RequestRefused(
                f"{text[:80]} is quoted by {sources}", "name one as SOURCE:SYMBOL", 400, "symbol"
            )
        raise RequestRefused(f"there is no symbol {text[:80]}", "see /udf/search", 404, "symbol")


def told(error: RequestRefused) -> Response:
    """A refusal in the protocol's words."""
    return as_json({"s": "error", "errmsg": str(error)}, error.status)


def _bars(candles: Sequence[Candle]) -> dict[str, list[Any]]:
    return {
        "t": [epoch_s(c) for c in candles],
        "o": [c.open for c in candles],
        "h": [c.high for c in candles],
        "l": [c.low for c in candles],
        "c": [c.close for c in candles],
        "v": [c.volume for c in candles],
    }


def _at(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=max(0, seconds))


def _decimals(price: float) -> int:
    text = repr(price)
    if "e" in text:
        return _MOST_DIGITS if "e-" in text else 0
    return min(_MOST_DIGITS, len(text.partition(".")[2].rstrip("0")))
