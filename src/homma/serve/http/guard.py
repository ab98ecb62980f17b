"""Access rules for requests, and the security headers of every answer."""

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
from homma.serve.http.problem import problem

COOKIE: Final = "homma"
_MAX_QUERY_BYTES: Final = 8192
_MAX_PATH_BYTES: Final = 2048
#: Paths without a token: the page, which asks for the token, and health and metrics.
_OPEN_PREFIXES: Final = ("/assets/", "/health/")
_OPEN_PATHS: Final = ("/", "/favicon.ico", "/metrics", "/api/login")
_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
#: After this many wrong tokens in a minute, every login is refused.
_MAX_FAILED_LOGINS: Final = 10
_MINUTE_S: Final = 60.0
_COOKIE_AGE_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Allowed Host names, allowed CORS origins, and the token (None: no token needed)."""

    hosts: frozenset[str]
    origins: frozenset[str]
    token: str | None


def access_rules(
    host: str, allowed_hosts: str, cors_origins: str, token: str | None
) -> AccessRules:
    """The rules from the settings; SettingError if other machines could read without a token."""
    if not token and not is_loopback(host):
        raise SettingError(
            f"serve_host is {host}, which other machines can reach, but there is no token",
            "set HOMMA_SERVE_TOKEN to a long random text, or keep serve_host at 127.0.0.1",
        )
    if token is not None and len(token) < 16:
        raise SettingError("HOMMA_SERVE_TOKEN is too short", "use 16 characters or more")
    names = {"localhost", "127.0.0.1", "::1", host.lower(), *_words(allowed_hosts.lower())}
    return AccessRules(frozenset(names), frozenset(_words(cors_origins)), token)


def is_loopback(host: str) -> bool:
    """Whether an address is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


class TokenCheck:
    """Checks requests for the token, or for a cookie that is derived from the token."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self.cookie = "" if token is None else _cookie_value(token)
        self._failed_s: list[float] = []

    def is_required(self) -> bool:
        """Whether requests need a token."""
        return self._token is not None

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the token or the cookie."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_valid(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and _is_equal(cookie.value, self.cookie)

    def is_valid(self, token: str) -> bool:
        """Whether this is the token."""
        return self._token is not None and _is_equal(token, self._token)

    def log_in(self, token: str) -> bool:
        """Whether this is the token; RequestRefused after too many wrong tokens in a minute."""
        now_s = time.monotonic()
        self._failed_s = [failed_s for failed_s in self._failed_s if failed_s > now_s - _MINUTE_S]
        if len(self._failed_s) >= _MAX_FAILED_LOGINS:
            raise RequestRefused("too many wrong tokens", "wait a minute", 429)
        if self.is_valid(token):
            return True
        self._failed_s.append(now_s)
        return False

    def set_cookie(self, *, secure: bool) -> str:
        """The value of the Set-Cookie header."""
        attributes = "HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
        return f"{COOKIE}={self.cookie}; Path=/; Max-Age={_COOKIE_AGE_S}; {attributes}"


def _cookie_value(token: str) -> str:
    return hmac.new(token.encode(), b"homma cookie", sha256).hexdigest()


def _is_equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


class Guard:
    """ASGI middleware: refuses requests that break the rules, and counts all of them."""

    def __init__(
        self, app: ASGIApp, rules: AccessRules, tokens: TokenCheck, metrics: Metrics
    ) -> None:
        self._app = app
        self._rules = rules
        self._tokens = tokens
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, then pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start_s = time.perf_counter()
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        allowed_origin = origin if origin in self._rules.origins else ""

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.observe("homma_request_seconds", time.perf_counter() - start_s)
                self._metrics.count("homma_requests", 1, str(message["status"]))
                _add_security_headers(MutableHeaders(scope=message), allowed_origin)
            await send(message)

        try:
            self._check(scope, headers)
        except RequestRefused as error:
            answer = problem(error)
            if error.status == 401:
                answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, send_secured)
            return
        if allowed_origin and scope["method"] == "OPTIONS":
            await _preflight(send_secured)
            return
        await self._app(scope, receive, send_secured)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if _host_name(headers.get("host", "")) not in self._rules.hosts:
            raise RequestRefused(
                "the Host header is not an allowed name",
                "use the address the server listens on, or allow the name with --allowed-hosts",
                421,
            )
        if (
            len(scope["query_string"]) > _MAX_QUERY_BYTES
            or len(scope["raw_path"]) > _MAX_PATH_BYTES
        ):
            raise RequestRefused(
                "the URL is too long",
                f"use a path of at most {_MAX_PATH_BYTES} bytes and a query of at most "
                f"{_MAX_QUERY_BYTES}",
                414,
            )
        path = scope["path"]
        is_open = path in _OPEN_PATHS or path.startswith(_OPEN_PREFIXES)
        preflight = scope["method"] == "OPTIONS"
        if self._tokens.is_required() and not (
            is_open or preflight or self._tokens.is_authorized(headers)
        ):
            raise RequestRefused(
                "this server requires a token", "send `Authorization: Bearer …`, or log in", 401
            )


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _add_security_headers(headers: MutableHeaders, origin: str) -> None:
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
