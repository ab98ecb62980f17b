"""The server, assembled from its parts."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from homma.core.calendar import Calendar
from homma.errors import RequestRefused
from homma.metrics import SERVE, Metrics
from homma.serve.candle_feed import CandleFeed, CandleTopics
from homma.serve.candles import CandleHistory
from homma.serve.events import Events
from homma.serve.http import openapi, site, udf
from homma.serve.http.api import Api, Clock, json_response, read_query
from homma.serve.http.guard import AccessRules, Guard, TokenCheck
from homma.serve.http.problem import problem
from homma.serve.lake_client import LakeClient
from homma.serve.live import Live
from homma.serve.market import Market
from homma.serve.streams import Streams
from homma.serve.watermarks import SeriesWatermarks
from homma.settings import ServeSettings

#: A client that missed at most this many events can continue its stream.
_MAX_EVENTS: Final = 20_000
_MAX_BODY_BYTES: Final = 4096
_BODY_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the server is built from. Without `topics` it reads no Kafka, without `lake` no lake."""

    settings: ServeSettings
    rules: AccessRules
    version: str
    calendar: Calendar
    clock: Clock
    topics: CandleTopics | None = None
    lake: LakeClient | None = None
    metrics: Metrics = field(default_factory=lambda: Metrics(SERVE))
    static_dir: Path = site.STATIC_DIR
    #: A monotonic clock, in seconds.
    now_s: Callable[[], float] = time.monotonic


class Server:
    """The ASGI application (`app`) and the parts behind it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings = parts.settings
        events = Events(secrets.token_hex(4), _MAX_EVENTS)
        stream_timeout_s = settings.stream_timeout.total_seconds()
        self.streams = Streams(events, settings.max_streams, stream_timeout_s, parts.metrics)
        watermarks = SeriesWatermarks(settings.watermark_delay, settings.idle_timeout)
        live = Live(parts.calendar, settings.keep_candles, watermarks)
        self.market = Market(live, self.streams, parts.metrics, parts.now_s)
        self.candles = CandleHistory(self.market.live, parts.lake)
        self._tokens = TokenCheck(parts.rules.token)
        self.app: ASGIApp = Guard(self._starlette(), parts.rules, self._tokens, parts.metrics)

    def _starlette(self) -> Starlette:
        return Starlette(
            routes=[*self._api(), *self._udf(), *site.routes(self._parts.static_dir)],
            exception_handlers={RequestRefused: _refused, HTTPException: _not_found},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        stream_task = asyncio.create_task(self.streams.run())
        feed = None
        if self._parts.topics is not None:
            feed = CandleFeed(self._parts.topics, self.market)
            feed.start()
        if self._parts.lake is not None:
            self._parts.lake.start()
        try:
            yield
        finally:
            if feed is not None:
                await feed.stop()
            stream_task.cancel()
            if self._parts.lake is not None:
                self._parts.lake.close()

    def _api(self) -> list[Route]:
        api = Api(self.market, self.candles, self._parts.clock)
        return [
            Route("/api/series", api.series),
            Route("/api/intervals", api.intervals),
            Route("/api/candles", api.candles),
            Route("/api/overview", api.overview),
            Route("/api/live", api.live),
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/openapi.json", self._openapi),
            Route("/api/docs", site.docs),
            Route("/api/docs/{name}", site.docs),
            Route("/health/live", self._live),
            Route("/health/ready", self._ready),
            Route("/metrics", self._metrics),
        ]

    def _udf(self) -> list[Route]:
        protocol = udf.Udf(self.market.live, self.candles, self._parts.clock)
        endpoints = {
            "config": protocol.config,
            "symbols": protocol.symbols,
            "search": protocol.search,
            "history": protocol.history,
            "time": protocol.time,
        }
        return [Route(f"/udf/{name}", endpoint) for name, endpoint in endpoints.items()]

    async def _openapi(self, request: Request) -> Response:
        read_query(request, ())
        document = openapi.document(
            self._parts.version, self._parts.calendar, token=self._tokens.is_required()
        )
        return json_response(document)

    async def _live(self, request: Request) -> Response:
        read_query(request, ())
        return json_response({"status": "live"})

    async def _ready(self, request: Request) -> Response:
        read_query(request, ())
        if self.market.is_ready and not self.market.error:
            return json_response({"status": "ready"})
        detail = self.market.error or "the newest candles are being read"
        return json_response({"status": "not ready", "detail": detail}, 503)

    async def _metrics(self, request: Request) -> Response:
        del request
        text = generate_latest(self._parts.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _login(self, request: Request) -> Response:
        read_query(request, ())
        if not self._tokens.is_required():
            raise RequestRefused(
                "this server requires no token",
                "send requests without a token; no login is needed",
                404,
            )
        token = await _read_token(request)
        if not self._tokens.log_in(token):
            raise RequestRefused(
                "wrong token", "use the value of the server's HOMMA_SERVE_TOKEN", 401
            )
        cookie = self._tokens.set_cookie(secure=request.url.scheme == "https")
        return Response(status_code=204, headers={"set-cookie": cookie})


async def _read_token(request: Request) -> str:
    """The token of a body {"token": …}. A form of another site cannot send that content type."""
    invalid = RequestRefused(
        "the body is not a valid login request", 'send {"token": "…"} as application/json', 400
    )
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RequestRefused("the body is not JSON", "send it as application/json", 415)
    body = b""
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    raise RequestRefused(
                        "the body is too long", f"send at most {_MAX_BODY_BYTES} bytes", 413
                    )
    except TimeoutError as error:
        raise RequestRefused(
            f"the body did not arrive within {_BODY_TIMEOUT_S:g} s",
            "send the whole body without delay",
            408,
        ) from error
    try:
        token = json.loads(body)["token"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise invalid from error
    if not isinstance(token, str) or not token.isprintable():
        raise invalid
    return token


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    if request.url.path.startswith("/udf/"):
        return udf.error_response(error)
    return problem(error)


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refused(
        request,
        RequestRefused(
            f"{error.detail}: {request.url.path[:200]}", "see /api/docs", error.status_code
        ),
    )
