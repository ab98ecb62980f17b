"""The endpoints under /api."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from homma.core.interval import Interval
from homma.errors import RequestRefused
from homma.serve import wire
from homma.serve.candles import CandleHistory, CandlesAnswer
from homma.serve.events import Subscription
from homma.serve.http import parameters
from homma.serve.http.parameters import Parameter, RequestQuery
from homma.serve.live import CandleRange
from homma.serve.market import Market
from homma.serve.streams import Stream
from homma.topics.candle import Candle, SeriesKey

ARROW: Final = "application/vnd.apache.arrow.stream"
_MICROSECOND: Final = timedelta(microseconds=1)

#: The wall clock, in UTC.
Clock = Callable[[], datetime]


class Api:
    """Answers requests from the market's state and the candle history."""

    def __init__(self, market: Market, candles: CandleHistory, clock: Clock) -> None:
        self._market = market
        self._live = market.live
        self._candles = candles
        self._clock = clock
        self._parameters = parameters.of_calendar(market.live.calendar)

    async def series(self, request: Request) -> Response:
        """All series."""
        read_query(request, ())
        split_series, recent_ticks = self._market.split_series, self._live.recent_ticks()
        rows = [
            {
                "source": source,
                "symbol": symbol,
                "recentTicks": recent_ticks.get((source, symbol), 0),
            }
            | ({"split": True} if (source, symbol) in split_series else {})
            for source, symbol in self._live.series()
        ]
        return json_response({"series": rows})

    async def intervals(self, request: Request) -> Response:
        """All intervals, shortest first."""
        read_query(request, ())
        intervals = self._live.calendar
        return json_response([{"code": i.code, "name": i.name} for i in intervals])

    async def candles(self, request: Request) -> Response:
        """Candles of one series, oldest first."""
        query = read_query(request, self._parameters.candles)
        series, interval = (query["source"], query["symbol"]), query["interval"]
        since, until = query["from"], query["to"]
        if since and until and since >= until:
            raise RequestRefused(
                "`from` is not before `to`", "give a `from` that is before `to`", 400, "from"
            )
        # Before the candles are read: a change in between is sent again by the stream.
        event_id = self._event_id()
        span = CandleRange(series, since, until, query["limit"])
        fill_until = self._fill_until(interval, span) if query["fill"] else None
        answer = await self._candles.find(
            interval, span, final=query["final"], fill_until=fill_until
        )
        if not answer.candles:
            await self._check_series_exists(interval, series)
        if _accepts_arrow(request):
            newest = self._live.newest(interval.code, series, 1)
            of_trades = any(map(wire.is_of_trades, newest))
            content, kind = wire.arrow_stream(answer.candles, of_trades=of_trades), ARROW
        else:
            content, kind = _candles_json(interval, series, answer), "application/json"
        closed = answer.complete and until is not None and _all_final(answer.candles)
        return _cacheable(request, content, kind, event_id, closed=closed)

    def _fill_until(self, interval: Interval, span: CandleRange) -> datetime:
        if span.until is not None:
            return min(span.until, self._clock())
        newest = self._live.newest(interval.code, span.series, 1)
        return newest[-1].start + _MICROSECOND if newest else self._clock()

    async def _check_series_exists(self, interval: Interval, series: SeriesKey) -> None:
        """Raise RequestRefused (404) if neither memory nor the lake has the series."""
        if series in self._live.series():
            return
        answer = await self._candles.find(interval, CandleRange(series, None, None, 1))
        if not answer.candles and answer.complete:
            source, symbol = series
            raise RequestRefused(
                f"there are no candles of {symbol} from {source}", "see /api/series", 404
            )

    async def overview(self, request: Request) -> Response:
        """The newest candle of every series."""
        query = read_query(request, self._parameters.overview)
        interval, count = query["interval"].code, query["closes"]
        event_id = self._event_id()
        rows, now = [], self._clock()
        for series in self._live.series_of_interval(interval):
            newest = self._live.newest(interval, series, max(1, count))
            closes = wire.compact([c.close for c in newest[-count:]] if count else [])
            start = wire.object_start(interval, series)
            silence = wire.compact(self._live.silence_ms(series, now))
            start += b',"silenceMs":' + silence + b',"candle":{'
            rows.append(start + newest[-1].text + b',"closes":' + closes + b"}")
        content = b'{"interval":"%b","series":[%b]}' % (interval.encode(), b",".join(rows))
        return _cacheable(request, content, "application/json", event_id, closed=False)

    async def live(self, request: Request) -> Stream:
        """Candle changes as they happen."""
        query = read_query(request, self._parameters.live)
        streams = self._market.streams
        streams.admit()
        last_event_id = request.headers.get("last-event-id") or query["lastEventId"]
        subscription = Subscription(query["interval"].code, frozenset(query["series"]))
        return Stream(streams, subscription, last_event_id)

    def _event_id(self) -> bytes:
        events = self._market.streams.events
        return events.event_id(events.newest)


def read_query(request: Request, rows: Sequence[Parameter], *, strict: bool = True) -> RequestQuery:
    """The query parameters of a request; RequestRefused if one is invalid."""
    return parameters.parse_query(request.query_params.multi_items(), rows, strict=strict)


def json_response(value: object, status: int = 200, kind: str = "application/json") -> Response:
    """A JSON answer that must not be cached."""
    headers = {"cache-control": "no-store"}
    return Response(wire.compact(value), status, headers, media_type=kind)


def _candles_json(interval: Interval, series: SeriesKey, answer: CandlesAnswer) -> bytes:
    return b'%b,"complete":%b,"candles":%b}' % (
        wire.object_start(interval.code, series),
        b"true" if answer.complete else b"false",
        wire.candle_array(answer.candles),
    )


def _all_final(candles: Sequence[Candle]) -> bool:
    return all(candle.is_final for candle in candles)


def _accepts_arrow(request: Request) -> bool:
    return ARROW in request.headers.get("accept", "")


def _cacheable(
    request: Request, content: bytes, kind: str, event_id: bytes, *, closed: bool
) -> Response:
    """An answer. If `closed`, clients may cache it and revalidate it by its ETag.

    `event_id`: the last event that the answer includes; a live stream continues after it.
    """
    headers = {"vary": "accept", "last-event-id": event_id.decode(), "cache-control": "no-store"}
    if closed:
        tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        headers |= {"etag": tag, "cache-control": "private, no-cache"}
        known = request.headers.get("if-none-match", "")
        if tag in known or known.strip() == "*":
            return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)
