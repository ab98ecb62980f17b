"""A server in a thread of this process, and what a client does with it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from homma.core.interval import INTERVALS
from homma.serve import server, site
from homma.serve.app import Parts, Server
from homma.serve.candle_feed import CandleTopics
from homma.serve.guard import rules
from homma.serve.lake_client import LakeClient
from homma.settings import ServeSettings
from homma.topics.kafka.admin import Admin
from homma.topics.latest import CandleRecord
from tests.aggregate.pipeline import Pipeline
from tests.stack.waiting import until

NOW = datetime(2025, 3, 21, tzinfo=UTC)
MINUTE = "2025-03-20T14:31:00.000"


def value(start: str = MINUTE, source: str = "S", symbol: str = "A", **more: Any) -> bytes:
    """A candle record's value."""
    found = {
        "source": source,
        "symbol": symbol,
        "dateTime": start,
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 3,
        "isFinal": True,
        "revision": 1,
        **more,
    }
    return json.dumps({k: v for k, v in found.items() if v is not ...}).encode()


def key(start: str = MINUTE, source: str = "S", symbol: str = "A") -> bytes:
    """The same record's key."""
    return f'{{"source":"{source}","symbol":"{symbol}","dateTime":"{start}"}}'.encode()


class Counting:
    """Records of one partition, one after the other."""

    def __init__(self) -> None:
        self._offset = 0

    def record(self, start: str = MINUTE, *, gone: bool = False, **more: Any) -> CandleRecord:
        """The next one."""
        self._offset += 1
        names = {n: more[n] for n in ("source", "symbol") if n in more}
        its = None if gone else value(start, **more)
        return CandleRecord(0, self._offset, self._offset, key(start, **names), its)


def made(
    past: LakeClient | None = None,
    source: CandleTopics | None = None,
    token: str | None = None,
    built: Path | None = None,
    now_s: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Server:
    """A server that does not run yet."""
    chosen = ServeSettings(**settings)
    allowed = rules(chosen.serve_host, chosen.allowed_hosts, chosen.cors_origins, token)
    return Server(
        Parts(
            chosen,
            allowed,
            "1.2.3",
            lambda: NOW,
            source,
            past,
            built=built or site.BUILT,
            now_s=now_s,
        )
    )


def filled(server: Server) -> Server:
    """Two hours of S:A with a hole, and a candle of T:A, in every interval."""
    records = Counting()
    for interval in range(len(INTERVALS)):
        for n in range(120):
            if n in (100, 101):
                continue
            start = f"2025-03-20T{12 + n // 60}:{n % 60:02}:00.000"
            final: dict[str, Any] = {} if n < 119 else {"isFinal": False, "revision": 0}
            server.market.live.add(interval, records.record(start, close=float(n), **final))
        server.market.live.add(interval, records.record(source="T", close=1.25))
    server.market.live.settle()
    server.market.ready = True
    return server


def following(pipeline: Pipeline) -> CandleTopics:
    """The candle topics of a pipeline."""
    return CandleTopics(pipeline.config, Admin(pipeline.config), pipeline.topics.candles)


@contextmanager
def running(found: Server, most: int = 100, port: int = 0) -> Iterator[str]:
    """The address of a server, which runs for the length of the block."""
    listener = server.listen("127.0.0.1", port, 20_000)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop = threading.Event()
    arguments = (found.app, listener, most, stop.is_set, found.streams.close)
    thread = threading.Thread(target=server.run, args=arguments)
    thread.start()
    try:
        yield address
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def ready(address: str) -> None:
    """Wait until a server knows the newest candles."""
    until(lambda: httpx.get(f"{address}/health/ready").status_code == 200)


def candles(
    address: str, symbol: str = "A", source: str = "S", interval: str = "m1", **more: Any
) -> list[dict[str, Any]]:
    """What /api/candles lists."""
    query = {"source": source, "symbol": symbol, "interval": interval, **more}
    answer = httpx.get(f"{address}/api/candles", params=query, timeout=30)
    if answer.status_code == 404:
        return []
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["candles"]
    return found


@dataclass
class Told:
    """One event of a stream."""

    kind: str
    id: str
    data: dict[str, Any]


@dataclass
class Listening:
    """Events of a stream, in the order in which they came."""

    events: list[Told] = field(default_factory=list)
    last_id: str = ""
    ended: bool = False

    def until(self, kind: str, **wanted: Any) -> Told:
        """Wait for an event of a kind with such data."""

        def fits(event: Told) -> bool:
            return event.kind == kind and wanted.items() <= event.data.items()

        until(lambda: any(fits(event) for event in self.events))
        return next(event for event in self.events if fits(event))


@contextmanager
def listening(
    address: str, last_id: str = "", headers: dict[str, str] | None = None, **query: Any
) -> Iterator[Listening]:
    """A stream that is listened to for the length of the block."""
    heard = Listening()
    more = {"Last-Event-ID": last_id} if last_id else {}
    host, _, port = address.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("GET", f"/api/live?{urlencode(query)}", headers={**(headers or {}), **more})
    sock, answer = connection.sock, connection.getresponse()
    assert answer.status == 200, answer.read()
    thread = threading.Thread(target=_hear, args=(answer, heard))
    thread.start()
    try:
        until(lambda: heard.last_id or heard.events)
        yield heard
    finally:
        # A mere close would wait for the reading thread.
        sock.shutdown(socket.SHUT_RDWR)
        thread.join(30)
        connection.close()


def _hear(answer: http.client.HTTPResponse, heard: Listening) -> None:
    kind = ""
    try:
        while line := answer.readline().decode():
            name, _, text = line.rstrip("\n").partition(": ")
            if name == "event":
                kind = text
            elif name == "id":
                heard.last_id = text
            elif name == "data":
                heard.events.append(Told(kind, heard.last_id, json.loads(text)))
    except (http.client.HTTPException, OSError):
        pass
    heard.ended = True
