"""Latency of live streams and of requests to `homma serve`.

    make bench WHAT=serving
    make bench WHAT=serving ARGS="--clients 100 --updates 500 --seconds 10"

Kafka and `homma serve` are processes of their own. Candle records are written as by an engine, each
with the microsecond of its creation as `open`, so a client knows the age of each update. Half of
the clients listen to one series, half to all; a few read nothing.
"""

import argparse
import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import psutil
from confluent_kafka import Producer

from bench import report
from bench.broker import broker, takes_port
from bench.market import PARTITIONS, make_topics
from homma.settings import TopicSettings
from tests.support.waiting import free_ports

TOPICS = TopicSettings(topic="serve_ticks", candle_topic="serve_{name}", replication_factor=1)
START = datetime(2025, 3, 20, tzinfo=UTC)
ROWS = 1000
CANDLES = "/api/candles?source=S&symbol=A0&interval=m1&limit={}"
#: One in this many clients of all series checks every update; the others discard them.
CHECK_EVERY = 10
CONNECTIONS = 16
SLOW_AFTER_S = 5
_CREATED: Final = re.compile(rb'"open":(\d+)')


class Writer:
    """Writes candles to a topic, each series to one partition."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        # The producer outlives the broker: do not log errors.
        config = {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "log_level": 0}
        self._producer = Producer(config)

    def write(self, series: int, minute: int, *, final: bool) -> None:
        """Write one candle, created now."""
        key, value = record(series, minute, final=final)
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition=series % PARTITIONS)
                return
            except BufferError:
                self._producer.poll(0.05)

    def fill(self, series: int, minutes: int) -> None:
        """Write a history of all series."""
        for minute in range(minutes):
            for n in range(series):
                self.write(n, minute, final=True)
        assert self._producer.flush(120) == 0

    async def feed(self, series: int, minute: int, rate: int, seconds: float) -> None:
        """Update the open candles of all series in turn, at a steady rate."""
        began_s, sent = time.perf_counter(), 0
        while (elapsed_s := time.perf_counter() - began_s) < seconds:
            due = int(elapsed_s * rate)
            for n in range(sent, due):
                self.write(n % series, minute, final=False)
            self._producer.poll(0)
            sent = due
            await asyncio.sleep(0.005)
        assert self._producer.flush(30) == 0


def record(series: int, minute: int, *, final: bool) -> tuple[bytes, bytes]:
    """Key and value of a candle, created now."""
    start = (START + timedelta(minutes=minute)).isoformat()[:19] + ".000"
    key = f'{{"source":"S","symbol":"A{series}","dateTime":"{start}"}}'
    value = (
        f'{{"source":"S","symbol":"A{series}","dateTime":"{start}",'
        f'"open":{time.time_ns() // 1000}.0,"high":2.5,"low":0.5,"close":1.5,"volume":3,'
        f'"tickCount":3,"isFinal":{"true" if final else "false"},"revision":{int(final)}}}'
    )
    return key.encode(), value.encode()


# --- the server -------------------------------------------------------------------------------
@dataclass(frozen=True)
class Server:
    """A running server; milliseconds until it returned the first candle, and all candles."""

    port: int
    process: psutil.Process
    first_ms: float
    all_ms: float

    def resident_mib(self) -> float:
        """The resident set in MiB."""
        return float(self.process.memory_info().rss) / (1 << 20)

    def metric(self, name: str) -> float:
        """The sum of a metric."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@contextmanager
def serving(bootstrap: str, folder: Path) -> Iterator[Server]:
    """Run `homma serve`, timed from its start."""
    [port] = free_ports(1)
    argv = [
        sys.executable,
        "-m",
        "homma",
        "serve",
        "--bootstrap.servers",
        bootstrap,
        "--candle-topic",
        TOPICS.candle_topic,
        "--serve-port",
        str(port),
        "--without-lake",
        "--stream-timeout",
        f"{SLOW_AFTER_S}s",
    ]
    began_s = time.perf_counter()
    with (folder / "serve.log").open("ab") as output:
        process = subprocess.Popen(argv, stderr=output)
    took_ms = []
    try:
        for rows in (1, ROWS):
            while not _returns(port, rows):
                assert process.poll() is None, (folder / "serve.log").read_text()
                time.sleep(0.02)
            took_ms.append((time.perf_counter() - began_s) * 1000)
        yield Server(port, psutil.Process(process.pid), *took_ms)
    finally:
        process.terminate()
        process.wait()


def _returns(port: int, rows: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{CANDLES.format(rows)}", timeout=5)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and len(answer.json()["candles"]) == rows


# --- streams ----------------------------------------------------------------------------------
@dataclass
class Ages:
    """Ages of updates on arrival, in milliseconds."""

    of_one: list[float] = field(default_factory=list)
    of_all: list[float] = field(default_factory=list)


class Listener(asyncio.Protocol):
    """A client of a stream; without a list it discards the data."""

    def __init__(self, query: str, ages_ms: list[float] | None) -> None:
        self._query = query
        self._ages_ms = ages_ms

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(f"GET /api/live{self._query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if self._ages_ms is None:
            return
        now_us = time.time_ns() // 1000
        # A number cut by the end of a chunk is too small for a current time.
        created_us = (int(digits) for digits in _CREATED.findall(data))
        self._ages_ms.extend((now_us - us) / 1000 for us in created_us if us > now_us // 2)


async def listen(port: int, args: argparse.Namespace, ages: Ages) -> list[asyncio.Transport]:
    """Connect all clients."""
    loop = asyncio.get_running_loop()
    transports: list[asyncio.Transport] = []
    for n in range(args.clients):
        if n % 2:
            query, ages_ms = "", ages.of_all if n // 2 % CHECK_EVERY == 0 else None
        else:
            query, ages_ms = f"?series=S:A{n // 2 % args.series}", ages.of_one
        client = partial(Listener, query, ages_ms)
        transports.append((await loop.create_connection(client, "127.0.0.1", port))[0])
    for _ in range(args.slow):
        # A small receive buffer, as of a slow connection.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        client = partial(Listener, "", None)
        transport, _ = await loop.create_connection(client, sock=sock)
        transport.pause_reading()
        transports.append(transport)
    return transports


async def streams(server: Server, writer: Writer, minute: int, args: argparse.Namespace) -> Ages:
    """Feed updates to all clients. Returns the ages."""
    ages = Ages()
    clients = await listen(server.port, args, ages)
    while server.metric("homma_streams ") < len(clients):
        await asyncio.sleep(0.1)
    await writer.feed(args.series, minute, args.updates, args.seconds)
    await asyncio.sleep(1)
    for transport in clients:
        transport.abort()
    return ages


# --- requests ---------------------------------------------------------------------------------
async def requests(port: int, rate: int, seconds: float) -> list[float]:
    """Milliseconds of each request, from when it was due."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))
    took_ms: list[float] = []

    async def ask(due_s: float) -> None:
        reader, writer = await free.get()
        writer.write(f"GET {CANDLES.format(ROWS)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert length is not None
        await reader.readexactly(int(length[1]))
        took_ms.append((time.perf_counter() - due_s) * 1000)
        free.put_nowait((reader, writer))

    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for n in range(int(rate * seconds)):
            due_s = began_s + n / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            group.create_task(ask(due_s))
    while not free.empty():
        free.get_nowait()[1].close()
    return took_ms


def row(name: str, values_ms: Sequence[float]) -> list[str]:
    """Count, percentiles and maximum."""
    ordered = sorted(values_ms)
    percentiles = [
        ordered[min(len(ordered) - 1, int(len(ordered) * p))] for p in (0.5, 0.99, 0.999)
    ]
    return [name, f"{len(ordered):,}", *(f"{value:,.1f}" for value in (*percentiles, ordered[-1]))]


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--candles", type=int, default=1_000_000, help="in Kafka at the start")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--clients", type=int, default=500, help="number of streams")
    parser.add_argument("--slow", type=int, default=5, help="additional streams that read nothing")
    parser.add_argument("--updates", type=int, default=1000, help="per second")
    parser.add_argument("--requests", type=int, default=200, help="per second")
    parser.add_argument("--seconds", type=float, default=30.0)
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    with broker(args.port) as (bootstrap, folder):
        writer = Writer(bootstrap, make_topics(bootstrap, TOPICS).candles["m1"])
        minutes = max(ROWS, args.candles // args.series)
        written = minutes * args.series
        writer.fill(args.series, minutes)
        starts: list[Server] = []
        for _ in range(args.starts):
            with serving(bootstrap, folder) as server:
                starts.append(server)
        with serving(bootstrap, folder) as server:
            while server.metric("homma_candles_read_total ") < written:
                time.sleep(0.1)
            before = server.resident_mib()
            ages = asyncio.run(streams(server, writer, minutes, args))
            after, cut = server.resident_mib(), server.metric("homma_streams_disconnected_total ")
            took_ms = asyncio.run(requests(server.port, args.requests, args.seconds))
    report.show(
        f"{args.clients} streams, {args.updates:,} updates/s of {args.series} series, "
        f"{args.seconds:g} s; then {args.requests} requests/s for {args.seconds:g} s",
        ("measurement", "count", "p50 ms", "p99 ms", "p99.9 ms", "max ms"),
        [
            row(
                f"start to first answer, {written:,} candles in Kafka", [s.first_ms for s in starts]
            ),
            row(f"start to an answer of {ROWS:,} rows", [s.all_ms for s in starts]),
            row("update to a stream of one series", ages.of_one),
            row("update to a stream of all series", ages.of_all),
            row(f"candles of {ROWS:,} rows from memory", took_ms),
        ],
        markdown=args.markdown,
    )
    print(
        f"\nThe server used {before:,.0f} MiB before the streams and {after:,.0f} MiB after them; "
        f"it disconnected {cut:.0f} of {args.slow} streams that read nothing."
    )


if __name__ == "__main__":
    main()
