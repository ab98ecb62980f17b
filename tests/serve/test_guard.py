"""Access rules: hosts, origins, tokens."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from homma.errors import SettingError
from homma.serve.http.guard import access_rules
from tests.support.serving import make_server, open_stream, running, with_candles

TOKEN = "a long random text for tests"


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """A server that requires a token."""
    with running(
        with_candles(make_server(token=TOKEN, cors_origins="https://charts.example"))
    ) as address:
        yield address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "charts.example", ""])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(SettingError, match="there is no token"):
        access_rules(host, "", "", None)
    assert access_rules(host, "", "", TOKEN).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert access_rules(host, "", "", None).token is None


def test_a_short_token_is_refused() -> None:
    with pytest.raises(SettingError, match="too short"):
        access_rules("0.0.0.0", "", "", "secret")


def test_requests_need_the_token(closed: str) -> None:
    assert httpx.get(f"{closed}/api/series").status_code == 401
    assert httpx.get(f"{closed}/udf/config").status_code == 401
    invalid = {"authorization": "Bearer another"}
    assert httpx.get(f"{closed}/api/series", headers=invalid).status_code == 401
    valid = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{closed}/api/series", headers=valid).status_code == 200
    for path in ("/health/live", "/metrics"):
        assert httpx.get(f"{closed}{path}").status_code == 200
    assert httpx.get(f"{closed}/").status_code != 401


def test_login_returns_a_cookie(closed: str) -> None:
    assert httpx.post(f"{closed}/api/login", json={"token": "x"}).status_code == 401
    answer = httpx.post(f"{closed}/api/login", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    headers = {"cookie": cookie.partition(";")[0]}
    assert httpx.get(f"{closed}/api/series", headers=headers).status_code == 200
    with open_stream(closed, headers=headers) as stream:
        assert stream.last_id


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (415, {"content": "token=x"}),
        (400, {"json": {}}),
        (400, {"json": []}),
        (400, {"json": {"token": 7}}),
        (400, {"content": b"\xff", "headers": {"content-type": "application/json"}}),
        (413, {"json": {"token": "x" * 5000}}),
    ],
)
def test_an_invalid_login_is_refused(closed: str, status: int, request_: Any) -> None:
    assert httpx.post(f"{closed}/api/login", **request_).status_code == status


def test_failed_logins_are_limited() -> None:
    with running(with_candles(make_server(token=TOKEN))) as address:
        answers = [
            httpx.post(f"{address}/api/login", json={"token": str(n)}).status_code
            for n in range(12)
        ]
        assert answers == [401] * 10 + [429] * 2


def test_an_unknown_host_name_is_refused() -> None:
    with running(with_candles(make_server(allowed_hosts="charts.example"))) as address:
        port = address.rpartition(":")[2]
        for host, status in (
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("", 421),
            ("charts.example", 200),
            (f"localhost:{port}", 200),
            (f"[::1]:{port}", 200),
        ):
            answer = httpx.get(f"{address}/api/series", headers={"host": host})
            # A request without a host is malformed.
            assert answer.status_code in ((status, 400) if not host else (status,))


def test_every_answer_has_security_headers(closed: str) -> None:
    for path in ("/", "/api/series", "/api/docs", "/nothing"):
        headers = httpx.get(f"{closed}{path}").headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_cross_origin_requests(closed: str) -> None:
    valid = {"authorization": f"Bearer {TOKEN}"}
    ours = httpx.get(f"{closed}/api/series", headers={"origin": "https://charts.example", **valid})
    assert ours.headers["access-control-allow-origin"] == "https://charts.example"
    theirs = httpx.get(f"{closed}/api/series", headers={"origin": "https://evil.example", **valid})
    assert "access-control-allow-origin" not in theirs.headers
    preflight = httpx.options(f"{closed}/api/series", headers={"origin": "https://charts.example"})
    assert preflight.status_code == 204
    assert "Authorization" in preflight.headers["access-control-allow-headers"]


def test_long_urls_are_refused(closed: str) -> None:
    assert httpx.get(f"{closed}/api/series?x={'y' * 9000}").status_code == 414
    assert httpx.get(f"{closed}/{'y' * 3000}").status_code == 414
