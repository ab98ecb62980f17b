"""Many connections, slow readers and invalid requests do not disturb other clients."""

import contextlib
import random
import socket
import time
from collections import deque
from datetime import timedelta
from typing import Any

import httpx
import psutil

from tests.support.candle_records import RecordSequence
from tests.support.serving import get_candles, make_server, open_stream, running, with_candles
from tests.support.waiting import until


def connect(address: str, sent: bytes = b"") -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    if sent:
        connection.sendall(sent)
    return connection


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        return connection.recv(1 << 22) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / (1 << 20)


def live_request(query: str = "") -> bytes:
    return f"GET /api/live{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def test_connections_over_the_limit_are_closed() -> None:
    with (
        running(with_candles(make_server()), max_connections=20) as address,
        open_stream(address) as stream,
    ):
        crowd = [connect(address) for _ in range(200)]
        until(lambda: sum(is_closed(connection) for connection in crowd) >= 181)
        assert not stream.ended
        for connection in crowd:
            connection.close()
        until(lambda: _is_live(address))


def test_ten_thousand_connections() -> None:
    with (
        running(with_candles(make_server()), max_connections=50) as address,
        open_stream(address) as stream,
    ):
        crowd: deque[socket.socket] = deque()
        before_mib = resident_mib()
        for n in range(10_000):
            # The server closes connections over the limit, possibly before this returns.
            with contextlib.suppress(OSError):
                crowd.append(connect(address, live_request() if n % 2 else b""))
            if len(crowd) > 300:
                crowd.popleft().close()
        assert not stream.ended
        for connection in crowd:
            connection.close()
        until(lambda: _is_live(address))
        assert get_candles(address)
        assert resident_mib() - before_mib < 100


def _is_live(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live").status_code == 200
    except httpx.HTTPError:
        return False


def test_streams_over_the_limit_are_refused() -> None:
    with running(with_candles(make_server(max_streams=2))) as address:
        with open_stream(address), open_stream(address):
            answer = httpx.get(f"{address}/api/live")
            assert answer.status_code == 429
            assert answer.headers["content-type"] == "application/problem+json"
        until(lambda: "homma_streams 0.0" in httpx.get(f"{address}/metrics").text)
        with open_stream(address) as stream:
            assert stream.last_id


def test_a_client_that_reads_nothing_is_disconnected_and_others_are_not() -> None:
    server = with_candles(make_server(stream_timeout=timedelta(seconds=1)))
    with running(server) as address, open_stream(address) as stream:
        slow = connect(address, live_request())
        before_mib = resident_mib()
        records, events = RecordSequence(), server.streams.events
        close = 0.0
        while "homma_streams_disconnected_total 1.0" not in httpx.get(f"{address}/metrics").text:
            close += 1.0
            for n in range(2000):
                change = server.market.live.add("m1", records.record(close=close, symbol=f"B{n}"))
                assert change is not None
                events.add_change("m1", change)
            server.streams.notify()
            time.sleep(0.1)
        stream.until("candle", close=close)
        until(lambda: is_closed(slow))
        # Each event is kept once for all streams, and their number is limited.
        assert resident_mib() - before_mib < 200


def test_endless_reconnects() -> None:
    with (
        running(with_candles(make_server()), max_connections=50) as address,
        open_stream(address) as stream,
    ):
        for n in range(300):
            with connect(address, live_request("?interval=h1") if n % 2 else b"GET") as connection:
                if n % 3:
                    connection.recv(64) if n % 2 else None
        until(lambda: "homma_streams 1.0" in httpx.get(f"{address}/metrics").text)
        assert not stream.ended


def test_garbage() -> None:
    chance = random.Random(6)
    with running(with_candles(make_server())) as address, open_stream(address) as stream:
        for length in (1, 10, 1000, 40_000):
            with connect(address, chance.randbytes(length)) as connection:
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(64)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        head = b"GET /api/series HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        with connect(address, head + b"X: " + b"y" * 100_000) as connection:
            assert connection.recv(64).startswith(b"HTTP/1.1 4")
        for query in _invalid_queries(chance):
            status = httpx.get(f"{address}/api/candles", params=query).status_code
            assert 400 <= status < 500
        assert get_candles(address)
        assert not stream.ended


def _invalid_queries(chance: random.Random) -> list[dict[str, Any]]:
    names = ["source", "symbol", "interval", "from", "to", "limit", "fill", "final", "x"]
    return [
        {
            name: "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randrange(20)))
            for name in chance.sample(names, 5)
        }
        for _ in range(50)
    ]
