"""The API: what each address answers."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from homma.core.interval import INTERVALS
from homma.errors import RequestRefused
from homma.serve import parameters, wire
from homma.serve.candles import CandleHistory, CandlesAnswer
from homma.serve.events import Subscription
from homma.serve.live import CandleRange
from homma.serve.market import Market
from homma.serve.parameters import Answer, Parameter
from homma.serve.streams import Stream
from homma.topics.latest import Candle, SeriesKey

ARROW: Final = "application/vnd.apache.arrow.stream"
_NOTHING_NEWER: Final = timedelta(microseconds=1)

#: The wall clock, given by whoever starts the server.
Clock = Callable[[], datetime]


class Api:
    """Answers out of what the market knows."""

    def __init__(self, market: Market, candles: CandleHistory, clock: Clock) -> None:
        self._market = market
        self._live = market.live
        self._candles = candles
        self._clock = clock

    async def series(self, request: Request) -> Response:
        """Every series there is."""
        asked(request, ())
        split = self._market.split
        found = [
            {"source": source, "symbol": symbol}
            | ({"split": True} if (source, symbol) in split else {})
            for source, symbol in self._live.series()
        ]
        return as_json({"series": found})

    async def intervals(self, request: Request) -> Response:
        """The intervals, finest first."""
        asked(request, ())
        return as_json([{"code": i.code, "name": i.name} for i in INTERVALS])

    async def candles(self, request: Request) -> Response:
        """Candles of one series, oldest first."""
        query = asked(request, parameters.CANDLES)
        series, interval = (query["source"], query["symbol"]), query["interval"]
        since, until = query["from"], query["to"]
        if since and until and since >= until:
            raise RequestRefused(
                "from is not before to", "let from be the earlier one", 400, "from"
            )
        # Told before it is looked: what happens in between comes again.
        told = self._event_id()
        span = CandleRange(series, since, until, query["limit"])
        fill_until = self._fill_until(interval, span) if query["fill"] else None
        found = await self._candles.find(
            interval, span, final=query["final"], fill_until=fill_until
        )
        if not found.candles:
            await self._must_be_there(interval, series)
        if _prefers_arrow(request):
            content, kind = wire.arrow(found.candles), ARROW
        else:
            content, kind = _listing(interval, series, found), "application/json"
        closed = found.complete and until is not None and _closed(found.candles)
        return _cacheable(request, content, kind, told, closed=closed)

    def _fill_until(self, interval: int, span: CandleRange) -> datetime:
        if span.until is not None:
            return min(span.until, self._clock())
        newest = self._live.newest(interval, span.series, 1)
        return newest[-1].start + _NOTHING_NEWER if newest else self._clock()

    async def _must_be_there(self, interval: int, series: SeriesKey) -> None:
        """Refuse where nobody has ever heard of the series."""
        if series in self._live.series():
            return
        found = await self._candles.find(interval, CandleRange(series, None, None, 1))
        if not found.candles and found.complete:
            source, symbol = series
            raise RequestRefused(
                f"there are no candles of {symbol} from {source}", "see /api/series", 404
            )

    async def overview(self, request: Request) -> Response:
        """The newest candle of every series."""
        query = asked(request, parameters.OVERVIEW)
        interval, count = query["interval"], query["closes"]
        told = self._event_id()
        found = []
        for series in self._live.of_interval(interval):
            last = self._live.newest(interval, series, max(1, count))
            closes = wire.compact([c.close for c in last[-count:]] if count else [])
            names = wire.named(interval, series)
            found.append(names + b',"candle":{' + last[-1].text + b',"closes":' + closes + b"}")
        code = INTERVALS[interval].code.encode()
        content = b'{"interval":"%b","series":[%b]}' % (code, b",".join(found))
        return _cacheable(request, content, "application/json", told, closed=False)

    async def live(self, request: Request) -> Stream:
        """Changes of candles as they happen."""
        query = asked(request, parameters.LIVE)
        streams = self._market.streams
        streams.admit()
        last = request.headers.get("last-event-id") or query["lastEventId"]
        wanted = Subscription(query["interval"], frozenset(query["series"]))
        return Stream(streams, wanted, last)

    def _event_id(self) -> bytes:
        events = self._market.streams.events
        return events.id(events.newest)


def asked(request: Request, rows: Sequence[Parameter], *, strict: bool = True) -> Answer:
    """The parameters of a request."""
    return parameters.read(request.query_params.multi_items(), rows, strict=strict)


def as_json(value: object, status: int = 200, kind: str = "application/json") -> Response:
    """A JSON answer that is nobody's to keep."""
    headers = {"cache-control": "no-store"}
    return Response(wire.compact(value), status, headers, media_type=kind)


def _listing(interval: int, series: SeriesKey, found: CandlesAnswer) -> bytes:
    return b'%b,"complete":%b,"candles":%b}' % (
        wire.named(interval, series),
        b"true" if found.complete else b"false",
        wire.listed(found.candles),
    )


def _closed(candles: Sequence[Candle]) -> bool:
    return all(candle.is_final for candle in candles)


def _prefers_arrow(request: Request) -> bool:
    return ARROW in request.headers.get("accept", "")


def _cacheable(
    request: Request, content: bytes, kind: str, told: bytes, *, closed: bool
) -> Response:
    """An answer; of what is closed a copy may be kept, if one asks whether it has been corrected.

    `told`: the last event that is surely in it, where a live stream may go on.
    """
    headers = {"vary": "accept", "last-event-id": told.decode(), "cache-control": "no-store"}
    if closed:
        tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        headers |= {"etag": tag, "cache-control": "private, no-cache"}
        known = request.headers.get("if-none-match", "")
        if tag in known or known.strip() == "*":
            return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)
