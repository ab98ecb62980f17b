"""The server put together."""

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

from homma.errors import RequestRefused
from homma.metrics import SERVE, Metrics
from homma.serve import openapi, site, udf
from homma.serve.api import Api, Clock, as_json, asked
from homma.serve.candle_feed import CandleTopics, Following
from homma.serve.candles import CandleHistory
from homma.serve.clocks import Clocks
from homma.serve.events import Events
from homma.serve.guard import AccessRules, Guard, Tokens
from homma.serve.lake_client import LakeClient
from homma.serve.live import Live
from homma.serve.market import Market
from homma.serve.problem import problem
from homma.serve.streams import Streams
from homma.settings import ServeSettings

#: Events that a client may have missed and still go on.
_EVENTS: Final = 20_000
_BODY_BYTES: Final = 4096
_BODY_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the server is made of. Without a source nothing is followed, without past no lake."""

    settings: ServeSettings
    rules: AccessRules
    version: str
    clock: Clock
    source: CandleTopics | None = None
    past: LakeClient | None = None
    metrics: Metrics = field(default_factory=lambda: Metrics(SERVE))
    built: Path = site.BUILT
    #: Seconds since whenever, which never go back.
    now_s: Callable[[], float] = time.monotonic


class Server:
    """The application, and its parts for those who need them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings = parts.settings
        events = Events(secrets.token_hex(4), _EVENTS)
        stream_timeout_s = settings.stream_timeout.total_seconds()
        self.streams = Streams(events, settings.max_streams, stream_timeout_s, parts.metrics)
        live = Live(settings.keep_candles, Clocks(settings.watermark_delay, settings.idle_timeout))
        self.market = Market(live, self.streams, parts.metrics, parts.now_s)
        self.candles = CandleHistory(self.market.live, parts.past)
        self._tokens = Tokens(parts.rules.token)
        self.app: ASGIApp = Guard(self._starlette(), parts.rules, self._tokens, parts.metrics)

    def _starlette(self) -> Starlette:
        return Starlette(
            routes=[*self._api(), *self._udf(), *site.routes(self._parts.built)],
            exception_handlers={RequestRefused: _refused, HTTPException: _not_found},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        waking = asyncio.create_task(self.streams.run())
        following = None
        if self._parts.source is not None:
            following = Following(self._parts.source, self.market)
            following.start()
        if self._parts.past is not None:
            self._parts.past.begin()
        try:
            yield
        finally:
            if following is not None:
                await following.stop()
            waking.cancel()
            if self._parts.past is not None:
                self._parts.past.close()

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
        named = {
            "config": protocol.config,
            "symbols": protocol.symbols,
            "search": protocol.search,
            "history": protocol.history,
            "time": protocol.time,
        }
        return [Route(f"/udf/{name}", answer) for name, answer in named.items()]

    async def _openapi(self, request: Request) -> Response:
        asked(request, ())
        described = openapi.document(self._parts.version, token=self._tokens.needed())
        return as_json(described)

    async def _live(self, request: Request) -> Response:
        asked(request, ())
        return as_json({"status": "live"})

    async def _ready(self, request: Request) -> Response:
        asked(request, ())
        if self.market.ready and not self.market.trouble:
            return as_json({"status": "ready"})
        detail = self.market.trouble or "the newest candles are being read"
        return as_json({"status": "not ready", "detail": detail}, 503)

    async def _metrics(self, request: Request) -> Response:
        del request
        text = generate_latest(self._parts.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _login(self, request: Request) -> Response:
        asked(request, ())
        if not self._tokens.needed():
            raise RequestRefused("no token is needed here", "just ask", 404)
        given = await _token_of(request)
        if not self._tokens.log_in(given):
            raise RequestRefused(
                "that is not the token", "see HOMMA_SERVE_TOKEN of the server", 401
            )
        cookie = self._tokens.set_cookie(secure=request.url.scheme == "https")
        return Response(status_code=204, headers={"set-cookie": cookie})


async def _token_of(request: Request) -> str:
    """The token of a body {"token": …}, which a page of another site cannot send as such."""
    wrong = RequestRefused("the body is no login", 'send {"token": "…"} as application/json', 400)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RequestRefused("the body is no JSON", "send it as application/json", 415)
    body = b""
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for part in request.stream():
                body += part
                if len(body) > _BODY_BYTES:
                    raise RequestRefused(
                        "the body is too long", f"{_BODY_BYTES} bytes are enough", 413
                    )
    except TimeoutError as error:
        raise RequestRefused("the body did not come", "send it at once", 408) from error
    try:
        given = json.loads(body)["token"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise wrong from error
    if not isinstance(given, str) or not given.isprintable():
        raise wrong
    return given


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    if request.url.path.startswith("/udf/"):
        return udf.told(error)
    return problem(error)


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refused(
        request,
        RequestRefused(
            f"{error.detail}: {request.url.path[:200]}", "see /api/docs", error.status_code
        ),
    )
