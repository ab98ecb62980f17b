"""Who may ask: hosts, origins, tokens."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from homma.errors import SettingError
from homma.serve.guard import rules
from tests.serve.serving import filled, listening, made, running

TOKEN = "a long random text of ours"


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """A server that wants a token."""
    with running(filled(made(token=TOKEN, cors_origins="https://charts.example"))) as address:
        yield address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "charts.example", ""])
def test_others_are_not_let_in_without_a_token(host: str) -> None:
    with pytest.raises(SettingError, match="there is no token"):
        rules(host, "", "", None)
    assert rules(host, "", "", TOKEN).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_needs_none(host: str) -> None:
    assert rules(host, "", "", None).token is None


def test_a_token_that_can_be_guessed_is_none() -> None:
    with pytest.raises(SettingError, match="guessed"):
        rules("0.0.0.0", "", "", "secret")


def test_only_with_the_token(closed: str) -> None:
    assert httpx.get(f"{closed}/api/series").status_code == 401
    assert httpx.get(f"{closed}/udf/config").status_code == 401
    wrong = {"authorization": "Bearer another"}
    assert httpx.get(f"{closed}/api/series", headers=wrong).status_code == 401
    right = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{closed}/api/series", headers=right).status_code == 200
    for path in ("/health/live", "/metrics"):
        assert httpx.get(f"{closed}{path}").status_code == 200
    assert httpx.get(f"{closed}/").status_code != 401


def test_a_cookie_for_the_token(closed: str) -> None:
    assert httpx.post(f"{closed}/api/login", json={"token": "x"}).status_code == 401
    answer = httpx.post(f"{closed}/api/login", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    carried = {"cookie": cookie.partition(";")[0]}
    assert httpx.get(f"{closed}/api/series", headers=carried).status_code == 200
    with listening(closed, headers=carried) as heard:
        assert heard.last_id


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
def test_what_is_no_login(closed: str, status: int, request_: Any) -> None:
    assert httpx.post(f"{closed}/api/login", **request_).status_code == status


def test_tokens_cannot_be_tried_for_ever() -> None:
    with running(filled(made(token=TOKEN))) as address:
        answers = [
            httpx.post(f"{address}/api/login", json={"token": str(n)}).status_code
            for n in range(12)
        ]
        assert answers == [401] * 10 + [429] * 2


def test_a_name_that_is_not_ours_is_refused() -> None:
    with running(filled(made(allowed_hosts="charts.example"))) as address:
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
            # Without a host there is not even a request.
            assert answer.status_code in ((status, 400) if not host else (status,))


def test_what_every_answer_says(closed: str) -> None:
    for path in ("/", "/api/series", "/api/docs", "/nothing"):
        headers = httpx.get(f"{closed}{path}").headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_pages_of_other_sites(closed: str) -> None:
    right = {"authorization": f"Bearer {TOKEN}"}
    ours = httpx.get(f"{closed}/api/series", headers={"origin": "https://charts.example", **right})
    assert ours.headers["access-control-allow-origin"] == "https://charts.example"
    theirs = httpx.get(f"{closed}/api/series", headers={"origin": "https://evil.example", **right})
    assert "access-control-allow-origin" not in theirs.headers
    asked = httpx.options(f"{closed}/api/series", headers={"origin": "https://charts.example"})
    assert asked.status_code == 204
    assert "Authorization" in asked.headers["access-control-allow-headers"]


def test_long_addresses(closed: str) -> None:
    assert httpx.get(f"{closed}/api/series?x={'y' * 9000}").status_code == 414
    assert httpx.get(f"{closed}/{'y' * 3000}").status_code == 414
