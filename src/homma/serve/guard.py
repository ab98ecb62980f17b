"""Who may ask, and what every answer says to browsers."""

import hmac
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homma.errors import RequestRefused, SettingError
from homma.metrics import Metrics
from homma.serve.problem import problem

COOKIE: Final = "homma"
_QUERY_BYTES: Final = 8192
_PATH_BYTES: Final = 2048
#: What may be asked without a token: the page, which asks for one, and what machines look at.
_OPEN: Final = ("/assets/", "/health/")
_OPEN_PATHS: Final = ("/", "/favicon.ico", "/metrics", "/api/login")
_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
#: Wrong tokens within a minute before nobody's is looked at any more.
_TRIES: Final = 10
_MINUTE_S: Final = 60.0
_COOKIE_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class AccessRules:
    """By which names it may be asked, by whose pages, and with which token (None: without)."""

    hosts: frozenset[str]
    origins: frozenset[str]
    token: str | None


def rules(host: str, allowed_hosts: str, cors_origins: str, token: str | None) -> AccessRules:
    """What the settings say; SettingError where all the world could read without a token."""
    if not token and not is_loopback(host):
        raise SettingError(
            f"serve_host is {host}, where others can reach it, and there is no token",
            "set HOMMA_SERVE_TOKEN to a long random text, or leave it at 127.0.0.1",
        )
    if token is not None and len(token) < 16:
        raise SettingError("HOMMA_SERVE_TOKEN is short enough to be guessed", "take 16 or more")
    names = {"localhost", "127.0.0.1", "::1", host.lower(), *_words(allowed_hosts.lower())}
    return AccessRules(frozenset(names), frozenset(_words(cors_origins)), token)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


class Tokens:
    """Knows the token when it sees it; the cookie is another text, made from it."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self.cookie = "" if token is None else _derived(token)
        self._failed_s: list[float] = []

    def needed(self) -> bool:
        """Whether there is one."""
        return self._token is not None

    def carried(self, headers: Mapping[str, str]) -> bool:
        """Whether a request may pass."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.right(given.strip()):
            return True
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return found is not None and _same(found.value, self.cookie)

    def right(self, given: str) -> bool:
        """Whether this is the token."""
        return self._token is not None and _same(given, self._token)

    def log_in(self, given: str) -> bool:
        """Whether this is the token; Refused where too many were wrong of late."""
        now_s = time.monotonic()
        self._failed_s = [at for at in self._failed_s if at > now_s - _MINUTE_S]
        if len(self._failed_s) >= _TRIES:
            raise RequestRefused("too many wrong tokens", "wait for a minute", 429)
        if self.right(given):
            return True
        self._failed_s.append(now_s)
        return False

    def set_cookie(self, *, secure: bool) -> str:
        """The header that makes a browser bring it along."""
        more = "; Secure" if secure else ""
        return (
            f"{COOKIE}={self.cookie}; Path=/; Max-Age={_COOKIE_S}; HttpOnly; SameSite=Strict{more}"
        )


def _derived(token: str) -> str:
    return hmac.new(token.encode(), b"homma cookie", sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


class Guard:
    """ASGI: lets requests pass or not, and counts them."""

    def __init__(
        self, app: ASGIApp, allowed: AccessRules, tokens: Tokens, metrics: Metrics
    ) -> None:
        self._app = app
        self._rules = allowed
        self._tokens = tokens
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or go on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        readable = origin if origin in self._rules.origins else ""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.observe("homma_request_seconds", time.perf_counter() - began_s)
                self._metrics.count("homma_requests", 1, str(message["status"]))
                _secure(MutableHeaders(scope=message), readable)
            await send(message)

        try:
            self._check(scope, headers)
        except RequestRefused as error:
            answer = problem(error)
            if error.status == 401:
                answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, told)
            return
        if readable and scope["method"] == "OPTIONS":
            await _preflight(told)
            return
        await self._app(scope, receive, told)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if _host_name(headers.get("host", "")) not in self._rules.hosts:
            raise RequestRefused(
                "the Host header names another server",
                "ask by the address it listens on, or allow the name with --allowed-hosts",
                421,
            )
        if len(scope["query_string"]) > _QUERY_BYTES or len(scope["raw_path"]) > _PATH_BYTES:
            raise RequestRefused(
                "the address is too long", f"keep it under {_QUERY_BYTES} bytes", 414
            )
        path = scope["path"]
        free = path in _OPEN_PATHS or path.startswith(_OPEN)
        preflight = scope["method"] == "OPTIONS"
        if self._tokens.needed() and not (free or preflight or self._tokens.carried(headers)):
            raise RequestRefused(
                "a token is needed", "send it as `Authorization: Bearer …`, or log in", 401
            )


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _secure(headers: MutableHeaders, origin: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    if origin:
        headers["access-control-allow-origin"] = origin
        headers["access-control-expose-headers"] = "ETag, Last-Event-ID"
        headers.add_vary_header("origin")
    else:
        headers["cross-origin-resource-policy"] = "same-origin"


async def _preflight(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", b"GET"),
        (b"access-control-allow-headers", b"Authorization, Last-Event-ID, If-None-Match"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
