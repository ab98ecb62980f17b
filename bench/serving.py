"""How soon a candle's change reaches those who look on, and how soon candles are given.

    make bench WHAT=serving
    make bench WHAT=serving ARGS="--clients 100 --updates 500 --seconds 10"

Kafka and `homma serve` are processes of their own. Candle records are written as an engine would,
each with the microsecond it was made in as its `open`, so a stream tells how old what it brings is.
Half of the clients listen to one series, half to all; some read nothing at all.
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
from homma.core.interval import FINEST
from homma.settings import TopicSettings
from tests.stack.waiting import free_ports

TOPICS = TopicSettings(topic="serve_ticks", candle_topic="serve_{name}", replication_factor=1)
START = datetime(2025, 3, 20, tzinfo=UTC)
ROWS = 1000
CANDLES = "/api/candles?source=S&symbol=A0&interval=m1&limit={}"
#: Of those who listen to all series so many look at every update; the others only take them.
WATCHING = 10
CONNECTIONS = 16
SLOW_AFTER_S = 5
_MADE: Final = re.compile(rb'"open":(\d+)')


class Writer:
    """Candles into a topic, those of a series always into one partition."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        # It outlives the broker, and need not say so.
        config = {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "log_level": 0}
        self._producer = Producer(config)

    def write(self, series: int, minute: int, *, final: bool) -> None:
        """One, made now."""
        key, value = record(series, minute, final=final)
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition=series % PARTITIONS)
                return
            except BufferError:
                self._producer.poll(0.05)

    def fill(self, series: int, minutes: int) -> None:
        """A history of all series."""
        for minute in range(minutes):
            for n in range(series):
                self.write(n, minute, final=True)
        assert self._producer.flush(120) == 0

    async def feed(self, series: int, minute: int, rate: int, seconds: float) -> None:
        """Changes of the open candles of all series in turn, at a steady rate."""
        began_s, sent = time.perf_counter(), 0
        while (gone_s := time.perf_counter() - began_s) < seconds:
            due = int(gone_s * rate)
            for n in range(sent, due):
                self.write(n % series, minute, final=False)
            self._producer.poll(0)
            sent = due
            await asyncio.sleep(0.005)
        assert self._producer.flush(30) == 0


def record(series: int, minute: int, *, final: bool) -> tuple[bytes, bytes]:
    """A candle of a series, made now."""
    start = (START + timedelta(minutes=minute)).isoformat()[:19] + ".000"
    key = f'{{"source":"S","symbol":"A{series}","dateTime":"{start}"}}'
    value = (
        f'{{"source":"S","symbol":"A{series}","dateTime":"{start}",'
        f'"open":{time.time_ns() // 1000}.0,"high":2.5,"low":0.5,"close":1.5,"volume":3,'
        f'"isFinal":{"true" if final else "false"},"revision":{int(final)}}}'
    )
    return key.encode(), value.encode()


# --- the server -------------------------------------------------------------------------------
@dataclass(frozen=True)
class Served:
    """A server that runs, and how many milliseconds it was until it gave candles: any, and all."""

    port: int
    process: psutil.Process
    first_ms: float
    all_ms: float

    def resident_mib(self) -> float:
        """What it holds in memory."""
        return float(self.process.memory_info().rss) / (1 << 20)

    def measured(self, name: str) -> float:
        """One of its metrics."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@contextmanager
def serving(bootstrap: str, folder: Path) -> Iterator[Served]:
    """`homma serve`, from its start on."""
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
    with (folder / "serve.log").open("ab") as said:
        process = subprocess.Popen(argv, stderr=said)
    took_ms = []
    try:
        for rows in (1, ROWS):
            while not _gives(port, rows):
                assert process.poll() is None, (folder / "serve.log").read_text()
                time.sleep(0.02)
            took_ms.append((time.perf_counter() - began_s) * 1000)
        yield Served(port, psutil.Process(process.pid), *took_ms)
    finally:
        process.terminate()
        process.wait()


def _gives(port: int, rows: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{CANDLES.format(rows)}", timeout=5)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and len(answer.json()["candles"]) == rows


# --- streams ----------------------------------------------------------------------------------
@dataclass
class Heard:
    """How old updates were when they came, in milliseconds."""

    of_one: list[float] = field(default_factory=list)
    of_all: list[float] = field(default_factory=list)


class Listener(asyncio.Protocol):
    """A client of a stream; without a list it takes what comes and looks at nothing."""

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
        # What is cut in two by a chunk's end is too short to be of today.
        made = (int(found) for found in _MADE.findall(data))
        self._ages_ms.extend((now_us - us) / 1000 for us in made if us > now_us // 2)


async def listen(port: int, asked: argparse.Namespace, heard: Heard) -> list[asyncio.Transport]:
    """All clients, listening."""
    loop = asyncio.get_running_loop()
    found: list[asyncio.Transport] = []
    for n in range(asked.clients):
        if n % 2:
            query, ages = "", heard.of_all if n // 2 % WATCHING == 0 else None
        else:
            query, ages = f"?series=S:A{n // 2 % asked.series}", heard.of_one
        client = partial(Listener, query, ages)
        found.append((await loop.create_connection(client, "127.0.0.1", port))[0])
    for _ in range(asked.slow):
        # The system takes in little for it, as from afar.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        client = partial(Listener, "", None)
        transport, _ = await loop.create_connection(client, sock=sock)
        transport.pause_reading()
        found.append(transport)
    return found


async def streams(served: Served, writer: Writer, minute: int, asked: argparse.Namespace) -> Heard:
    """Every client hears what is fed."""
    heard = Heard()
    clients = await listen(served.port, asked, heard)
    while served.measured("homma_streams ") < len(clients):
        await asyncio.sleep(0.1)
    await writer.feed(asked.series, minute, asked.updates, asked.seconds)
    await asyncio.sleep(1)
    for transport in clients:
        transport.abort()
    return heard


# --- requests ---------------------------------------------------------------------------------
async def requests(port: int, rate: int, seconds: float) -> list[float]:
    """Milliseconds of each request, counted from when it was due."""
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


def row(what: str, found_ms: Sequence[float]) -> list[str]:
    """Percentiles."""
    ordered = sorted(found_ms)
    shown = [ordered[min(len(ordered) - 1, int(len(ordered) * p))] for p in (0.5, 0.99, 0.999)]
    return [what, f"{len(ordered):,}", *(f"{value:,.1f}" for value in (*shown, ordered[-1]))]


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--candles", type=int, default=1_000_000, help="in Kafka at the start")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--clients", type=int, default=500, help="streams")
    parser.add_argument("--slow", type=int, default=5, help="more streams, which read nothing")
    parser.add_argument("--updates", type=int, default=1000, help="a second")
    parser.add_argument("--requests", type=int, default=200, help="a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    takes_port(parser)
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    with broker(asked.port) as (bootstrap, folder):
        writer = Writer(bootstrap, make_topics(bootstrap, TOPICS).candles[FINEST])
        minutes = max(ROWS, asked.candles // asked.series)
        written = minutes * asked.series
        writer.fill(asked.series, minutes)
        starts: list[Served] = []
        for _ in range(asked.starts):
            with serving(bootstrap, folder) as served:
                starts.append(served)
        with serving(bootstrap, folder) as served:
            while served.measured("homma_candles_read_total ") < written:
                time.sleep(0.1)
            before = served.resident_mib()
            heard = asyncio.run(streams(served, writer, minutes, asked))
            after, cut = served.resident_mib(), served.measured("homma_streams_disconnected_total ")
            took_ms = asyncio.run(requests(served.port, asked.requests, asked.seconds))
    report.show(
        f"{asked.clients} streams, {asked.updates:,} updates/s of {asked.series} series, "
        f"{asked.seconds:g} s; then {asked.requests} requests/s as long",
        ("what", "counted", "p50 ms", "p99 ms", "p99.9 ms", "max ms"),
        [
            row(
                f"start to first answer, {written:,} candles in Kafka", [s.first_ms for s in starts]
            ),
            row(f"start to an answer of {ROWS:,} rows", [s.all_ms for s in starts]),
            row("update to a stream of one series", heard.of_one),
            row("update to a stream of all series", heard.of_all),
            row(f"candles of {ROWS:,} rows from memory", took_ms),
        ],
        markdown=asked.markdown,
    )
    print(
        f"\nThe server held {before:,.0f} MiB before there were streams and {after:,.0f} MiB after "
        f"them; of {asked.slow} that read nothing it had cut off {cut:.0f}."
    )


if __name__ == "__main__":
    main()
