"""How soon updates reach live streams, and how soon candles are answered.

python -m bench.serving [--clients 500] [--updates 1000] [--requests 200] [--seconds 20]

`homma serve` runs as a process of its own on the Kafka that is given; candle records are written
to its topics as an engine would, each with the microsecond it was sent in as its `open`. Half of
the clients listen to one series, half to all. Percentiles are from the record's sending to its
line being read; the other table is requests for 1,000 candles from memory, at a steady rate.
"""

import argparse
import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import psutil

from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender
from tests.stack.waiting import free_ports, until

START = datetime(2025, 3, 20, tzinfo=UTC)
HISTORY = 1000


def record(symbol: int, minute: int, at_us: int) -> tuple[bytes, bytes]:
    start = (START + timedelta(minutes=minute)).isoformat()[:19] + ".000"
    key = f'{{"source":"S","symbol":"A{symbol}","dateTime":"{start}"}}'
    value = (
        f'{{"source":"S","symbol":"A{symbol}","dateTime":"{start}","open":{at_us}.0,"high":2.5,'
        '"low":0.5,"close":1.5,"volume":3,"isFinal":false,"revision":0}'
    )
    return key.encode(), value.encode()


def percentiles(found: Sequence[float]) -> str:
    ordered = sorted(found)
    shown = [ordered[min(len(ordered) - 1, int(len(ordered) * p))] for p in (0.5, 0.99, 0.999)]
    return " | ".join(f"{value * 1000:,.1f} ms" for value in shown)


async def listen(port: int, query: str, delays: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    writer.write(f"GET /api/live{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    try:
        while chunk := await reader.read(1 << 18):
            now_us = time.time_ns() // 1000
            at = chunk.rfind(b'"open":')
            # The newest of what has come stands for it; a chunk cut within it is left out.
            number = chunk[at + 7 : at + 23]
            if at >= 0 and number.isdigit():
                delays.append((now_us - int(number)) / 1e6)
    finally:
        writer.close()


async def feed(sender: Sender, topic: str, rate: int, series: int, seconds: float) -> None:
    began_s, sent = time.perf_counter(), 0
    while (gone_s := time.perf_counter() - began_s) < seconds:
        due = int(gone_s * rate) - sent
        made = [record((sent + n) % series, HISTORY, time.time_ns() // 1000) for n in range(due)]
        if made:
            sender.send(topic, [key for key, _ in made], [value for _, value in made])
        sender.poll(0)
        sent += due
        await asyncio.sleep(0.005)


async def streams(port: int, topic: str, sender: Sender, asked: argparse.Namespace) -> None:
    one: list[float] = []
    every: list[float] = []
    clients = [
        asyncio.create_task(
            listen(port, "", every) if n % 2 else
            listen(port, f"?series=S:A{n % asked.series}", one)
        )
        for n in range(asked.clients)
    ]  # fmt: skip
    await asyncio.sleep(2)
    await feed(sender, topic, asked.updates, asked.series, asked.seconds)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    print("| streams | clients | p50 | p99 | p99.9 |\n|---|---|---|---|---|")
    print(f"| of one series | {len(clients) - len(clients) // 2} | {percentiles(one)} |")
    print(f"| of all series | {len(clients) // 2} | {percentiles(every)} |")


async def requests(address: str, rate: int, seconds: float) -> None:
    query = {"source": "S", "symbol": "A0", "interval": "m1", "limit": str(HISTORY)}
    took: list[float] = []

    async def ask(client: httpx.AsyncClient) -> None:
        began_s = time.perf_counter()
        answer = await client.get(f"{address}/api/candles", params=query)
        assert answer.status_code == 200
        took.append(time.perf_counter() - began_s)

    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
        for _ in range(int(rate * seconds)):
            group.create_task(ask(client))
            await asyncio.sleep(1 / rate)
    print("\n| candles of 1,000 rows | p50 | p99 | p99.9 |\n|---|---|---|---|")
    print(f"| {rate} a second | {percentiles(took)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    config = {"bootstrap.servers": asked.bootstrap}
    name = "b" + uuid.uuid4().hex[:8]
    settings = TopicSettings(topic=f"{name}_ticks", candle_topic=name + "_{name}")
    Admin(config).ensure(contract.specs(settings, 1), 1)
    topic = contract.topics(settings).candles[0]
    sender = Sender(config)
    for minute in range(HISTORY):
        sender.send(topic, *map(list, zip(record(0, minute, 0), strict=True)))
    assert sender.flush(60) == 0
    [port] = free_ports(1)
    argv = [sys.executable, "-m", "homma", "serve", "--bootstrap.servers", asked.bootstrap,
            "--candle-topic", settings.candle_topic, "--serve-port", str(port),
            "--without-lake"]  # fmt: skip
    process = subprocess.Popen(argv)
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _ready(address))
        asyncio.run(streams(port, topic, sender, asked))
        asyncio.run(requests(address, asked.requests, asked.seconds))
        resident = psutil.Process(process.pid).memory_info().rss
        print(f"\nmemory of the server: {resident / (1 << 20):,.0f} MiB")
    finally:
        process.terminate()
        process.wait()


def _ready(address: str) -> bool:
    try:
        return bool(httpx.get(f"{address}/health/ready").status_code == 200)
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
