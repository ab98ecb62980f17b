"""A server in a thread of this process, and its clients."""

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

from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.serve.candle_feed import CandleTopics
from homma.serve.http import server, site
from homma.serve.http.app import Parts, Server
from homma.serve.http.guard import access_rules
from homma.serve.lake_client import LakeClient
from homma.settings import ServeSettings
from homma.topics.kafka.admin import Admin
from tests.support.candle_records import RecordSequence
from tests.support.pipeline import Pipeline
from tests.support.waiting import until

NOW = datetime(2025, 3, 21, tzinfo=UTC)


def make_server(
    lake: LakeClient | None = None,
    topics: CandleTopics | None = None,
    token: str | None = None,
    static_dir: Path | None = None,
    now_s: Callable[[], float] = time.monotonic,
    calendar: Calendar = DEFAULT_CALENDAR,
    **settings: Any,
) -> Server:
    """A server that is not running yet."""
    serve_settings = ServeSettings(**settings)
    rules = access_rules(
        serve_settings.serve_host, serve_settings.allowed_hosts, serve_settings.cors_origins, token
    )
    return Server(
        Parts(
            serve_settings,
            rules,
            "1.2.3",
            calendar,
            lambda: NOW,
            topics,
            lake,
            static_dir=static_dir or site.STATIC_DIR,
            now_s=now_s,
        )
    )


def with_candles(server: Server) -> Server:
    """Add two hours of S:A with a gap, and one candle of T:A, in every interval."""
    records = RecordSequence()
    for interval in server.market.live.calendar.codes:
        for n in range(120):
            if n in (100, 101):
                continue
            start = f"2025-03-20T{12 + n // 60}:{n % 60:02}:00.000"
            state: dict[str, Any] = {} if n < 119 else {"isFinal": False, "revision": 0}
            server.market.live.add(interval, records.record(start, close=float(n), **state))
        server.market.live.add(interval, records.record(source="T", close=1.25))
    server.market.live.mark_backfilled()
    server.market.is_ready = True
    return server


def candle_topics(pipeline: Pipeline) -> CandleTopics:
    """The candle topics of a pipeline."""
    return CandleTopics(pipeline.config, Admin(pipeline.config), pipeline.topics.public_candles)


@contextmanager
def running(app: Server, max_connections: int = 100, port: int = 0) -> Iterator[str]:
    """Run a server within the block; gives its address."""
    listener = server.listen("127.0.0.1", port, 20_000)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop = threading.Event()
    arguments = (app.app, listener, max_connections, stop.is_set, app.streams.close)
    thread = threading.Thread(target=server.run, args=arguments)
    thread.start()
    try:
        yield address
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def wait_until_ready(address: str) -> None:
    """Wait until a server has read the newest candles."""
    until(lambda: httpx.get(f"{address}/health/ready").status_code == 200)


def get_candles(
    address: str, symbol: str = "A", source: str = "S", interval: str = "m1", **query: Any
) -> list[dict[str, Any]]:
    """The candles of /api/candles; empty if the series does not exist."""
    query = {"source": source, "symbol": symbol, "interval": interval, **query}
    answer = httpx.get(f"{address}/api/candles", params=query, timeout=30)
    if answer.status_code == 404:
        return []
    assert answer.status_code == 200, answer.text
    candles: list[dict[str, Any]] = answer.json()["candles"]
    return candles


@dataclass
class StreamEvent:
    """One event of a stream."""

    kind: str
    id: str
    data: dict[str, Any]


@dataclass
class StreamEvents:
    """The events of a stream, in order of arrival."""

    events: list[StreamEvent] = field(default_factory=list)
    last_id: str = ""
    ended: bool = False

    def until(self, kind: str, **data: Any) -> StreamEvent:
        """Wait for an event of this kind that has this data."""

        def matches(event: StreamEvent) -> bool:
            return event.kind == kind and data.items() <= event.data.items()

        until(lambda: any(matches(event) for event in self.events))
        return next(event for event in self.events if matches(event))


@contextmanager
def open_stream(
    address: str, last_id: str = "", headers: dict[str, str] | None = None, **query: Any
) -> Iterator[StreamEvents]:
    """Read a live stream within the block."""
    stream = StreamEvents()
    resume = {"Last-Event-ID": last_id} if last_id else {}
    host, _, port = address.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request(
        "GET", f"/api/live?{urlencode(query)}", headers={**(headers or {}), **resume}
    )
    sock, answer = connection.sock, connection.getresponse()
    assert answer.status == 200, answer.read()
    thread = threading.Thread(target=_read_events, args=(answer, stream))
    thread.start()
    try:
        until(lambda: stream.last_id or stream.events)
        yield stream
    finally:
        # Closing the connection alone would wait for the reading thread.
        sock.shutdown(socket.SHUT_RDWR)
        thread.join(30)
        connection.close()


def _read_events(answer: http.client.HTTPResponse, stream: StreamEvents) -> None:
    kind = ""
    try:
        while line := answer.readline().decode():
            name, _, text = line.rstrip("\n").partition(": ")
            if name == "event":
                kind = text
            elif name == "id":
                stream.last_id = text
            elif name == "data":
                stream.events.append(StreamEvent(kind, stream.last_id, json.loads(text)))
    except (http.client.HTTPException, OSError):
        pass
    stream.ended = True
