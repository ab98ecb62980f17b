"""Many who connect, some who read slowly, some who ask nonsense: others do not notice."""

import contextlib
import random
import socket
import time
from collections import deque
from datetime import timedelta
from typing import Any

import httpx
import psutil

from tests.serve.serving import Counting, candles, filled, listening, made, running
from tests.stack.waiting import until


def connect(address: str, sent: bytes = b"") -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    found = socket.create_connection((host, int(port)), timeout=30)
    if sent:
        found.sendall(sent)
    return found


def closed(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        return connection.recv(1 << 22) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / (1 << 20)


def live(more: str = "") -> bytes:
    return f"GET /api/live{more} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def test_one_connection_too_many_is_closed() -> None:
    with running(filled(made()), most=20) as address, listening(address) as heard:
        crowd = [connect(address) for _ in range(200)]
        until(lambda: sum(closed(one) for one in crowd) >= 181)
        assert not heard.ended
        for one in crowd:
            one.close()
        until(lambda: _answers(address))


def test_ten_thousand_try_to_connect() -> None:
    with running(filled(made()), most=50) as address, listening(address) as heard:
        crowd: deque[socket.socket] = deque()
        before_mib = resident_mib()
        for n in range(10_000):
            # Those that were too many have been cut off, and may know it already.
            with contextlib.suppress(OSError):
                crowd.append(connect(address, live() if n % 2 else b""))
            if len(crowd) > 300:
                crowd.popleft().close()
        assert not heard.ended
        for one in crowd:
            one.close()
        until(lambda: _answers(address))
        assert candles(address)
        assert resident_mib() - before_mib < 100


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live").status_code == 200
    except httpx.HTTPError:
        return False


def test_one_stream_too_many_is_refused() -> None:
    with running(filled(made(max_streams=2))) as address:
        with listening(address), listening(address):
            answer = httpx.get(f"{address}/api/live")
            assert answer.status_code == 429
            assert answer.headers["content-type"] == "application/problem+json"
        until(lambda: "homma_streams 0.0" in httpx.get(f"{address}/metrics").text)
        with listening(address) as heard:
            assert heard.last_id


def test_who_reads_nothing_is_cut_off_and_others_are_not() -> None:
    server = filled(made(stream_timeout=timedelta(seconds=1)))
    with running(server) as address, listening(address) as heard:
        slow = connect(address, live())
        before_mib = resident_mib()
        records, events = Counting(), server.streams.events
        close = 0.0
        while "homma_streams_disconnected_total 1.0" not in httpx.get(f"{address}/metrics").text:
            close += 1.0
            for n in range(2000):
                change = server.market.live.add(0, records.record(close=close, symbol=f"B{n}"))
                assert change is not None
                events.changed(0, change)
            server.streams.notify()
            time.sleep(0.1)
        heard.until("candle", close=close)
        until(lambda: closed(slow))
        # Each change is kept once for all, and so many of them at most.
        assert resident_mib() - before_mib < 200


def test_endless_reconnects() -> None:
    with running(filled(made()), most=50) as address, listening(address) as heard:
        for n in range(300):
            with connect(address, live("?interval=h1") if n % 2 else b"GET") as one:
                if n % 3:
                    one.recv(64) if n % 2 else None
        until(lambda: "homma_streams 1.0" in httpx.get(f"{address}/metrics").text)
        assert not heard.ended


def test_garbage() -> None:
    chance = random.Random(6)
    with running(filled(made())) as address, listening(address) as heard:
        for length in (1, 10, 1000, 40_000):
            with connect(address, chance.randbytes(length)) as one:
                one.shutdown(socket.SHUT_WR)
                answer = one.recv(64)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        head = b"GET /api/series HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        with connect(address, head + b"X: " + b"y" * 100_000) as one:
            assert one.recv(64).startswith(b"HTTP/1.1 4")
        for query in _nonsense(chance):
            status = httpx.get(f"{address}/api/candles", params=query).status_code
            assert 400 <= status < 500
        assert candles(address)
        assert not heard.ended


def _nonsense(chance: random.Random) -> list[dict[str, Any]]:
    names = ["source", "symbol", "interval", "from", "to", "limit", "fill", "final", "x"]
    return [
        {
            name: "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randrange(20)))
            for name in chance.sample(names, 5)
        }
        for _ in range(50)
    ]
