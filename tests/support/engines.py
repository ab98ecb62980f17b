"""Engines as separate processes, a steady feed of ticks, and the checks afterwards."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from confluent_kafka import (
    Consumer,
    KafkaException,
    TopicPartition,
)

from homma.cli.options import FAILPOINT
from homma.partitions.origin import origin, rekeyed_origin
from homma.topics.kafka.reading import Message
from homma.topics.kafka.writing import Sender
from tests.support import oracle
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick, until

#: How long a feed waits for a broker that is down.
FLUSH_S = 280
ALLOWED_LATENESS = timedelta(minutes=10)
MAX_FUTURE = timedelta(minutes=5)
NOON = datetime(2025, 3, 20, 12)
#: Event time between two ticks of the market.
STEP = timedelta(milliseconds=250)
#: A static member replaces its predecessor in the group without waiting for its session timeout.
SUCCESSOR = ("-X", "group.instance.id=one")
#: A tick record: key and value.
Record = tuple[bytes | None, bytes]
#: Partition and offset.
Position = tuple[int, int]


# --- processes --------------------------------------------------------------------------------
@dataclass
class Running:
    """`homma aggregate` as a process, with its output."""

    process: subprocess.Popen[bytes]
    log: Path
    #: Whether it may kill itself at a step.
    has_failpoint: bool = False

    def output(self) -> str:
        return self.log.read_text()

    def errors(self) -> list[str]:
        """Its error messages."""
        return [line for line in self.output().splitlines() if line.startswith("homma: ")]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process, frozen or not."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def kill_after(self, delay_s: float) -> None:
        """Kill it after a delay; it must still run then."""
        time.sleep(delay_s)
        assert self.process.poll() is None, self.output()
        self.kill()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send(signal.SIGTERM)

    def assert_stopped(self) -> None:
        """Assert that it ends without an error after SIGTERM."""
        # Until it has joined the group, SIGTERM ends it like any program.
        expected = {0} if self.output() else {0, -signal.SIGTERM}
        if self.has_failpoint:
            expected.add(-signal.SIGKILL)
        assert self.process.wait(60) in expected, self.output()

    def stop(self) -> None:
        """Send SIGTERM and wait until it has ended."""
        self.terminate()
        self.assert_stopped()

    def wait_killed(self, within_s: float = 60) -> None:
        """Wait until its failpoint has killed it."""
        assert self.process.wait(within_s) == -signal.SIGKILL, self.output()

    def wait_failed(self, within_s: float = 60) -> str:
        """Wait until it has failed with one error message and no traceback; return the message."""
        assert self.process.wait(within_s) == 1, self.output()
        [message] = self.errors()
        assert "Traceback" not in self.output(), self.output()
        return message


@dataclass
class Engines:
    """The engines of one test; none outlives it, even if it fails."""

    pipeline: Pipeline
    folder: Path
    all: list[Running] = field(default_factory=list)

    def start(self, *flags: str, env: Mapping[str, str] | None = None) -> Running:
        pipeline, log = self.pipeline, self.folder / f"engine{len(self.all)}.log"
        argv = [
            sys.executable,
            "-m",
            "homma",
            "aggregate",
            "--bootstrap.servers",
            pipeline.bootstrap,
            "--topic",
            pipeline.topics.ticks,
            "--candle-topic",
            pipeline.name + "_{name}",
            "--intervals",
            str(pipeline.calendar),
            "--group",
            pipeline.settings.group,
            "--emit-every",
            "20ms",
            *flags,
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(argv, env={**os.environ, **(env or {})}, stderr=output)
        running = Running(process, log, has_failpoint=FAILPOINT in (env or {}))
        self.all.append(running)
        return running

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, *error: object) -> None:
        for number, running in enumerate(self.all):
            running.kill()
            if error[0] is not None:
                print(f"--- engine {number}, status {running.process.returncode}")
                print("\n".join(running.output().splitlines()[-40:]))


# --- ticks ------------------------------------------------------------------------------------
MALFORMED = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"source":"S"}',
    b'{"source":"S","symbol":NaN}',
)


def record(fields: dict[str, Any]) -> Record:
    return f"{fields['source']}:{fields['symbol']}".encode(), json.dumps(fields).encode()


def market(seed: int, count: int, series: int, *, noisy: bool = True) -> list[Record]:
    """Ticks of some series; noisy: with duplicate, out-of-order, late and malformed ticks."""
    return list(itertools.islice(flow(seed, series, noisy=noisy), count))


def flow(
    seed: int | str,
    series: int,
    *,
    noisy: bool = True,
    allowed_lateness: timedelta = ALLOWED_LATENESS,
    begins: datetime = NOON,
    step: timedelta = STEP,
) -> Iterator[Record]:
    """An endless market with one tick per `step` of event time."""
    chance = random.Random(seed)
    valid: deque[dict[str, Any]] = deque(maxlen=500)
    for number in itertools.count():
        kind = chance.random() if noisy else 1.0
        if kind < 0.02:
            yield None, chance.choice(MALFORMED)
            continue
        if kind < 0.06 and valid:
            # The same identity with another price: only the first counts.
            yield record(chance.choice(valid) | {"mid": 999.0})
            continue
        back = timedelta(0)
        if kind < 0.08:
            back = timedelta(minutes=chance.uniform(11, 300))
        elif kind < 0.5:
            back = chance.uniform(0, 0.5) * allowed_lateness
        at = begins + number * step - back
        fields = tick(
            at.isoformat(timespec="microseconds"),
            round(chance.uniform(1, 100), 3),
            number,
            f"SYM{chance.randrange(series)}",
        )
        valid.append(fields)
        yield record(fields)


class Feed:
    """Sends records from a thread, evenly over `over_s` seconds."""

    def __init__(self, pipeline: Pipeline, records: Sequence[Record], over_s: float) -> None:
        self._pipeline, self._records, self._over_s = pipeline, records, over_s
        self._thread = threading.Thread(target=self._run)
        self._stopped = threading.Event()
        self.sent = 0

    def _run(self) -> None:
        sender = Sender(self._pipeline.config)
        began_s = time.monotonic()
        total = len(self._records)
        while self.sent < total and not self._stopped.is_set():
            share = (time.monotonic() - began_s) / self._over_s if self._over_s else 1.0
            due = min(total, int(share * total) + 1)
            for key, value in self._records[self.sent : due]:
                sender.send(self._pipeline.topics.ticks, [key], [value])  # type: ignore[list-item]
            self.sent = due
            sender.poll(0.01)
        assert sender.flush(FLUSH_S) == 0

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._stopped.set()
        self._thread.join(FLUSH_S + 20)

    def stop(self) -> int:
        """Stop sending; return the number of records sent."""
        self._stopped.set()
        self._thread.join(FLUSH_S + 20)
        return self.sent

    def join(self) -> None:
        self._thread.join(FLUSH_S + 20)
        assert self.sent == len(self._records)


# --- while it runs ----------------------------------------------------------------------------
class Watch:
    """A read_committed reader of all candles.

    It checks that nothing is rolled back after it was visible, and that no transaction is visible
    in part: a tick counts in the candles of all intervals at once.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._consumer = Consumer(
            {
                **pipeline.config,
                "group.id": "watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in pipeline.topics.candles.values()
                for partition in range(pipeline.partitions)
            ]
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._newest: dict[tuple[str, bytes], tuple[int, int, int]] = {}
        #: Ticks added to candles by topic, partition and the offset committed with them.
        self._added: dict[str, Counter[Position]] = {
            topic: Counter() for topic in pipeline.topics.candles.values()
        }
        self.seen = 0
        self.rolled_back: list[str] = []

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(5_000, 0.2):
                if message.error() is None:
                    self._check(message)

    def _check(self, message: Message) -> None:
        value = json.loads(message.value() or b"{}")
        headers = dict(message.headers() or ())
        topic = str(message.topic())
        key = (topic, message.key() or b"")
        now = (int(value["revision"]), int(value["volume"]), int(headers["ticksBefore"] or 0))
        before = self._newest.get(key, (0, 0, 0))
        if any(new < old for new, old in zip(now, before, strict=True)):
            self.rolled_back.append(f"{key} offset {message.offset()}: {before} then {now}")
        self._newest[key] = now
        self._added[topic][message.partition() or 0, now[2]] += now[1] - before[1]
        self.seen += 1

    def inconsistent(self) -> list[str]:
        """Intervals whose ticks differ from the first interval's, up to the offset read of all."""
        read: Counter[int] = Counter()
        for partition in {position[0] for added in self._added.values() for position in added}:
            read[partition] = min(
                max((offset for p, offset in added if p == partition), default=0)
                for added in self._added.values()
            )
        complete = {
            topic: {at: n for at, n in added.items() if n and at[1] < read[at[0]]}
            for topic, added in self._added.items()
        }
        first = next(iter(complete.values()))
        return [
            f"{topic}: {sorted(added.items() ^ first.items())}"
            for topic, added in complete.items()
            if added != first
        ]

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def drain(self) -> None:
        """Read on until no more candles arrive."""
        seen = -1
        while seen < self.seen:
            seen = self.seen
            time.sleep(2)

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._consumer.close()
        if error[0] is None:
            assert self.seen > 0
            assert self.rolled_back == []
            assert self.inconsistent() == []


class Progress:
    """The committed offsets of the group."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        # Not an AdminClient: before the broker has a coordinator for the group, it fails, never
        # answers, or crashes. read_uncommitted returns the committed offsets at once instead of
        # waiting for open transactions.
        self._consumer = Consumer(
            {
                **pipeline.config,
                "group.id": pipeline.settings.group,
                "isolation.level": "read_uncommitted",
            }
        )

    def offsets(self, within_s: float = 10) -> list[int]:
        """The committed offsets by partition; empty while no broker answers."""
        partitions = [
            TopicPartition(self._pipeline.topics.ticks, partition)
            for partition in range(self._pipeline.partitions)
        ]
        try:
            committed = self._consumer.committed(partitions, timeout=within_s)
        except KafkaException:
            return []
        return [max(0, int(item.offset)) for item in committed]

    def committed(self) -> int:
        """The sum of the committed offsets."""
        return sum(self.offsets())

    def reach(self, offset: int, within_s: float = 60) -> None:
        until(lambda: self.committed() >= offset, within_s)

    def close(self) -> None:
        self._consumer.close()


@contextmanager
def at_work(
    pipeline: Pipeline, folder: Path, records: Sequence[Record], over_s: float
) -> Iterator[tuple[Engines, Feed, Progress]]:
    """Engines to start and stop, a steady feed of ticks, and a reader that checks candles."""
    with Watch(pipeline), Engines(pipeline, folder) as engines:
        feed = Feed(pipeline, records, over_s)
        with feed:
            yield engines, feed, Progress(pipeline)


# --- afterwards -------------------------------------------------------------------------------
def _refused(pipeline: Pipeline, topic: str) -> Iterator[Position]:
    """The original positions of the refused ticks of a topic."""
    for message in pipeline.records(topic):
        headers = dict(message.headers() or ())
        assert headers["error"]
        yield int(headers["partition"] or 0), int(headers["offset"] or 0)


def _read(message: Message) -> oracle.Tick | str:
    try:
        read = oracle.read(message.value())
    except RecursionError:
        return oracle.NOT_JSON
    if isinstance(read, str):
        return read
    appended = oracle.EPOCH + timedelta(milliseconds=message.timestamp()[1])
    return "future" if oracle.at_of(read) - appended > MAX_FUTURE else read


def check(
    pipeline: Pipeline, allowed_lateness: timedelta = ALLOWED_LATENESS, *, rekeyed: bool = False
) -> int:
    """Check that every tick went to the right topic once, and that the candles match the ticks.

    Rekeyed ticks count in the order of the rekeyed topic. Returns the number of candles compared.
    """
    records = pipeline.records(pipeline.topics.ticks)
    dead = [_position(m) for m in records if isinstance(_read(m), str)]
    late: list[Position] = []
    duplicates = 0
    accepted: list[oracle.Tick] = []
    origin_of = rekeyed_origin if rekeyed else origin
    counted = pipeline.records(pipeline.topics.by_series) if rekeyed else records
    for partition in range(pipeline.partitions):
        valid: list[tuple[Position, oracle.Tick]] = []
        for message in counted:
            if message.partition() != partition:
                continue
            if not isinstance(read := _read(message), str):
                came = origin_of(message)
                valid.append(((came.partition, came.offset), read))
        fates = oracle.fates([read for _, read in valid], allowed_lateness)
        for (position, read), fate in zip(valid, fates, strict=True):
            if fate == "late":
                late.append(position)
            elif fate == "duplicate":
                duplicates += 1
            else:
                accepted.append(read)
    candles = pipeline.candles()
    finest = pl.col("interval") == pipeline.calendar.finest.code
    counted_ticks = int(candles.filter(finest)["volume"].sum())
    for topic, expected in ((pipeline.topics.dead, dead), (pipeline.topics.late, late)):
        actual, due = Counter(_refused(pipeline, topic)), Counter(expected)
        assert actual == due, f"{topic} lacks {due - actual}, should not have {actual - due}"
    assert len(records) == len(dead) + len(late) + duplicates + counted_ticks
    same_candles(candles, batch_candles(_frame(accepted), calendar=pipeline.calendar))
    return candles.height


def _position(message: Message) -> Position:
    return message.partition() or 0, message.offset() or 0


def _frame(ticks: Sequence[oracle.Tick]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": [item["source"] for item in ticks],
            "symbol": [item["symbol"] for item in ticks],
            "mid": [item["mid"] for item in ticks],
            "number": pl.Series([item["number"] for item in ticks], dtype=pl.Int64),
            "dateTime": [oracle.at_of(item).isoformat(timespec="microseconds") for item in ticks],
        }
    )
