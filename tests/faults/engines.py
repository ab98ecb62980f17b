"""Engines as processes of their own, ticks that keep coming, and what must hold afterwards."""

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

from homma.aggregate.origin import origin, origin_of_rekeyed
from homma.cli.options import FAILPOINT
from homma.topics.kafka.reading import Message
from homma.topics.kafka.writing import Sender
from tests import oracle
from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, tick, until

ALLOWED_LATENESS = timedelta(minutes=10)
MAX_FUTURE = timedelta(minutes=5)
NOON = datetime(2025, 3, 20, 12)
#: Event time from one tick of the market to the next.
STEP = timedelta(milliseconds=250)
#: A static member takes its predecessor's place in the group without waiting for its session.
SUCCESSOR = ("-X", "group.instance.id=one")
#: A tick record: key and value.
Record = tuple[bytes | None, bytes]
#: Partition and offset.
Place = tuple[int, int]


# --- processes --------------------------------------------------------------------------------
@dataclass
class Running:
    """`homma aggregate` as a process, with what it says."""

    process: subprocess.Popen[bytes]
    log: Path
    #: Whether it may end itself at a step.
    mortal: bool = False

    def said(self) -> str:
        return self.log.read_text()

    def sentences(self) -> list[str]:
        """What it said at its end."""
        return [line for line in self.said().splitlines() if line.startswith("homma: ")]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End it by its own pid, frozen or not."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def die_after_s(self, seconds: float) -> None:
        """Kill it at a moment that it knows nothing of."""
        time.sleep(seconds)
        assert self.process.poll() is None, self.said()
        self.kill()

    def ask(self) -> None:
        """Ask it to end."""
        self.send(signal.SIGTERM)

    def wait_ended(self) -> None:
        """It has ended as it was asked to, and all is well."""
        # Until it is a member of the group, the signal ends it as any program.
        fine = {0} if self.said() else {0, -signal.SIGTERM}
        if self.mortal:
            fine.add(-signal.SIGKILL)
        assert self.process.wait(60) in fine, self.said()

    def stop(self) -> None:
        """Ask it to end, and see it do so."""
        self.ask()
        self.wait_ended()

    def died_there(self, within_s: float = 60) -> None:
        """It reached its failpoint."""
        assert self.process.wait(within_s) == -signal.SIGKILL, self.said()

    def ended_with_a_sentence(self, within_s: float = 60) -> str:
        """It ended by itself, failed, with one sentence and no traceback."""
        assert self.process.wait(within_s) == 1, self.said()
        [sentence] = self.sentences()
        assert "Traceback" not in self.said(), self.said()
        return sentence


@dataclass
class Engines:
    """The engines of one test; whatever happens, none outlives it."""

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
            "--group",
            pipeline.settings.group,
            "--emit-every",
            "20ms",
            *flags,
        ]
        with log.open("wb") as said:
            process = subprocess.Popen(argv, env={**os.environ, **(env or {})}, stderr=said)
        running = Running(process, log, mortal=FAILPOINT in (env or {}))
        self.all.append(running)
        return running

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, *failed: object) -> None:
        for number, running in enumerate(self.all):
            running.kill()
            if failed[0] is not None:
                print(f"--- engine {number}, status {running.process.returncode}")
                print("\n".join(running.said().splitlines()[-40:]))


# --- ticks ------------------------------------------------------------------------------------
BROKEN = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"source":"S"}',
    b'{"source":"S","symbol":NaN}',
)


def record(one: dict[str, Any]) -> Record:
    return f"{one['source']}:{one['symbol']}".encode(), json.dumps(one).encode()


def market(seed: int, count: int, series: int, *, spoiled: bool = True) -> list[Record]:
    """Ticks of some series; spoiled: with duplicates, out of order, late and broken ones."""
    return list(itertools.islice(flow(seed, series, spoiled=spoiled), count))


def flow(
    seed: int | str,
    series: int,
    *,
    spoiled: bool = True,
    allowed_lateness: timedelta = ALLOWED_LATENESS,
    begins: datetime = NOON,
    step: timedelta = STEP,
) -> Iterator[Record]:
    """A market that never ends: a tick each `step` of event time."""
    chance = random.Random(seed)
    valid: deque[dict[str, Any]] = deque(maxlen=500)
    for number in itertools.count():
        kind = chance.random() if spoiled else 1.0
        if kind < 0.02:
            yield None, chance.choice(BROKEN)
            continue
        if kind < 0.06 and valid:
            # The same identity with another price: the first counts.
            yield record(chance.choice(valid) | {"mid": 999.0})
            continue
        back = timedelta(0)
        if kind < 0.08:
            back = timedelta(minutes=chance.uniform(11, 300))
        elif kind < 0.5:
            back = chance.uniform(0, 0.5) * allowed_lateness
        at = begins + number * step - back
        one = tick(
            at.isoformat(timespec="microseconds"),
            round(chance.uniform(1, 100), 3),
            number,
            f"SYM{chance.randrange(series)}",
        )
        valid.append(one)
        yield record(one)


class Feed:
    """Sends records from a thread, evenly over some seconds."""

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
        # The broker may be away.
        assert sender.flush(100) == 0

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        if failed[0] is not None:
            self._stopped.set()
        self._thread.join(120)

    def stop(self) -> int:
        """Send no more; how many it were."""
        self._stopped.set()
        self._thread.join(120)
        return self.sent

    def join(self) -> None:
        self._thread.join(120)
        assert self.sent == len(self._records)


# --- while it runs ----------------------------------------------------------------------------
class Watch:
    """A read_committed reader of all candles.

    What it was shown is never taken back, and no transaction is there by half: a tick counts in
    the candles of all intervals at once.
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
                for topic in pipeline.topics.candles
                for partition in range(pipeline.partitions)
            ]
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._newest: dict[tuple[str, bytes], tuple[int, int, int]] = {}
        #: By topic, partition and the offset committed with them: how many ticks came to count.
        self._added: dict[str, Counter[Place]] = {t: Counter() for t in pipeline.topics.candles}
        self.seen = 0
        self.taken_back: list[str] = []

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(5_000, 0.2):
                if message.error() is None:
                    self._look(message)

    def _look(self, message: Message) -> None:
        value = json.loads(message.value() or b"{}")
        headers = dict(message.headers() or ())
        topic = str(message.topic())
        key = (topic, message.key() or b"")
        now = (int(value["revision"]), int(value["volume"]), int(headers["ticksBefore"] or 0))
        before = self._newest.get(key, (0, 0, 0))
        if any(new < old for new, old in zip(now, before, strict=True)):
            self.taken_back.append(f"{key} offset {message.offset()}: {before} then {now}")
        self._newest[key] = now
        self._added[topic][message.partition() or 0, now[2]] += now[1] - before[1]
        self.seen += 1

    def torn(self) -> list[str]:
        """Intervals whose ticks are not the first one's, as far as all have been read."""
        read: Counter[int] = Counter()
        for partition in {place[0] for added in self._added.values() for place in added}:
            read[partition] = min(
                max((offset for p, offset in added if p == partition), default=0)
                for added in self._added.values()
            )
        whole = {
            topic: {place: n for place, n in added.items() if n and place[1] < read[place[0]]}
            for topic, added in self._added.items()
        }
        first = next(iter(whole.values()))
        return [
            f"{topic}: {sorted(added.items() ^ first.items())}"
            for topic, added in whole.items()
            if added != first
        ]

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def settle(self) -> None:
        """Read on until nothing more comes."""
        seen = -1
        while seen < self.seen:
            seen = self.seen
            time.sleep(2)

    def __exit__(self, *failed: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._consumer.close()
        if failed[0] is None:
            assert self.seen > 0
            assert self.taken_back == []
            assert self.torn() == []


class Progress:
    """How far the group is."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        # Not an AdminClient: asked before the broker has a coordinator for the group, that one
        # fails, never answers, or crashes. What is committed, not what is about to be: that would
        # have to wait for the transactions under way.
        self._consumer = Consumer(
            {
                **pipeline.config,
                "group.id": pipeline.settings.group,
                "isolation.level": "read_uncommitted",
            }
        )

    def offsets(self, within_s: float = 10) -> list[int]:
        """The committed offsets by partition; none while nobody answers."""
        wanted = [
            TopicPartition(self._pipeline.topics.ticks, partition)
            for partition in range(self._pipeline.partitions)
        ]
        try:
            found = self._consumer.committed(wanted, timeout=within_s)
        except KafkaException:
            return []
        return [max(0, int(one.offset)) for one in found]

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
    """Engines to start and end, ticks that keep coming, and a reader that watches."""
    with Watch(pipeline), Engines(pipeline, folder) as engines:
        feed = Feed(pipeline, records, over_s)
        with feed:
            yield engines, feed, Progress(pipeline)


# --- afterwards -------------------------------------------------------------------------------
def _places(pipeline: Pipeline, topic: str) -> Iterator[Place]:
    """Where the refused ticks of a topic came from."""
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
    """Every tick went where the contract says, once, and the candles are of those that count.

    Rekeyed ticks count in the order in which they were sent on. How many candles were compared.
    """
    records = pipeline.records(pipeline.topics.ticks)
    dead = [_place(m) for m in records if isinstance(_read(m), str)]
    late: list[Place] = []
    duplicates = 0
    accepted: list[oracle.Tick] = []
    origin_of = origin_of_rekeyed if rekeyed else origin
    counted = pipeline.records(pipeline.topics.by_series) if rekeyed else records
    for partition in range(pipeline.partitions):
        valid: list[tuple[Place, oracle.Tick]] = []
        for message in counted:
            if message.partition() != partition:
                continue
            if not isinstance(read := _read(message), str):
                came = origin_of(message)
                valid.append(((came.partition, came.offset), read))
        fates = oracle.fates([read for _, read in valid], allowed_lateness)
        for (place, read), fate in zip(valid, fates, strict=True):
            if fate == "late":
                late.append(place)
            elif fate == "duplicate":
                duplicates += 1
            else:
                accepted.append(read)
    candles = pipeline.candles()
    minutes = int(candles.filter(pl.col("interval") == 0)["volume"].sum())
    for topic, expected in ((pipeline.topics.dead, dead), (pipeline.topics.late, late)):
        found, wanted = Counter(_places(pipeline, topic)), Counter(expected)
        assert found == wanted, f"{topic} lacks {wanted - found}, should not have {found - wanted}"
    assert len(records) == len(dead) + len(late) + duplicates + minutes
    same_candles(candles, batch_candles(_frame(accepted)))
    return candles.height


def _place(message: Message) -> Place:
    return message.partition() or 0, message.offset() or 0


def _frame(ticks: Sequence[oracle.Tick]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": [one["source"] for one in ticks],
            "symbol": [one["symbol"] for one in ticks],
            "mid": [one["mid"] for one in ticks],
            "number": pl.Series([one["number"] for one in ticks], dtype=pl.Int64),
            "dateTime": [oracle.at_of(one).isoformat(timespec="microseconds") for one in ticks],
        }
    )
