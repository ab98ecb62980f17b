"""A foreign topic beside the pipeline of a test, and the ingestion of its records."""

import json
import os
import random
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition

from homma.cli.options import FAILPOINT
from homma.feed.definitions.definition import FeedDefinition
from homma.feed.definitions.tick_reader import TickReader
from homma.feed.definitions.toml import read_definitions
from homma.feed.ingest.stage import ingest_loop
from homma.metrics import INGEST, Metrics
from homma.partitions.loop import Loop
from homma.partitions.outgoing import OutgoingBatch
from homma.partitions.stage import tick_topics
from homma.settings import IngestSettings
from homma.topics.contract import TopicSpec
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import Message, Reader
from homma.topics.kafka.writing import Sender
from tests.support.engines import NOON, Running
from tests.support.pipeline import Pipeline

#: Trades of an exchange, with messages of other kinds in between.
EXCHANGE = """
[feeds.exchange]
format = "json"
where = "kind = 'trade'"
source = "EXCHANGE"
symbol = { field = "pair", replace = { "-" = "" } }
price = { field = "p" }
size = { field = "q" }
date_time = { field = "t", unit = "us" }
"""
#: A number that homma makes has the partition in its lowest digits.
PARTITIONS = 1024
_EPOCH = datetime(1970, 1, 1)


def definition(text: str = EXCHANGE) -> FeedDefinition:
    """The only definition of a text."""
    [only] = read_definitions(text, "homma.toml").values()
    return only


def trade(number: int, pair: str = "BTC-USD", at: datetime = NOON, **more: Any) -> bytes:
    """A message of EXCHANGE that is a trade."""
    at_us = (at - _EPOCH) // timedelta(microseconds=1)
    fields = {"kind": "trade", "pair": pair, "p": f"{100 + number % 50}.25", "q": f"{number}.5"}
    return json.dumps({**fields, "t": at_us + 1000 * number, **more}).encode()


def messages(seed: int, count: int) -> list[bytes]:
    """Messages of EXCHANGE: most are trades, some are none, and some are broken trades."""
    chance = random.Random(seed)
    made: list[bytes] = []
    for number in range(count):
        kind = chance.random()
        if kind < 0.1:
            made.append(b'{"kind":"heartbeat"}')
        elif kind < 0.13:
            made.append(chance.choice((b"", b"{", b"\xff\xfe", b"null")))
        elif kind < 0.16:
            made.append(trade(number, p="high"))
        else:
            made.append(trade(number, f"SYM-{chance.randrange(6)}"))
    return made


@dataclass
class ForeignTopic:
    """A topic with records of a feed."""

    pipeline: Pipeline
    feed: FeedDefinition = field(default_factory=definition)
    partitions: int = 2
    name: str = field(default_factory=lambda: "foreign" + uuid.uuid4().hex[:10])

    def __post_init__(self) -> None:
        self.metrics = Metrics(INGEST)
        self.create()

    def create(self) -> None:
        """Create the topic."""
        Admin(self.pipeline.config).ensure([TopicSpec(self.name, self.partitions, {})], 1)

    def send(self, values: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> None:
        """Send records; without keys, they spread over the partitions."""
        sender = Sender(self.pipeline.config)
        sender.send(self.name, keys or [None] * len(values), values)  # type: ignore[arg-type]
        assert sender.flush(60) == 0

    def loop(self, **settings: Any) -> Loop[OutgoingBatch]:
        """An ingestion in this process."""
        pipeline = self.pipeline
        admin = Admin(pipeline.config)
        foreign = replace(pipeline.topics, ticks=self.name)
        return ingest_loop(
            tick_topics(pipeline.config, foreign, admin),
            tick_topics(pipeline.config, pipeline.topics, admin),
            TickReader(self.feed),
            replace(IngestSettings(group=pipeline.settings.group), **settings),
            self.metrics.labelled(self.feed.name),
        )

    def work_off(self, **settings: Any) -> None:
        """Ingest the records that are there now."""
        self.loop(until_end=True, **settings).run(lambda: False)

    @contextmanager
    def running(self, **settings: Any) -> Iterator[threading.Thread]:
        """An ingestion in a thread while the block runs."""
        stop = threading.Event()
        loop = self.loop(**settings)
        thread = threading.Thread(target=loop.run, args=(stop.is_set,))
        thread.start()
        try:
            yield thread
        finally:
            stop.set()
            thread.join(60)

    def counted(self, name: str) -> float:
        """The value of a counter of the ingestion in this process."""
        labels = {"feed": self.feed.name}
        return self.metrics.registry.get_sample_value(f"{name}_total", labels) or 0.0

    def end_offsets(self) -> list[TopicPartition]:
        """The end of each partition."""
        reader = Reader(self.pipeline.config)
        try:
            return [
                TopicPartition(self.name, number, reader.offset_range(self.name, number).end)
                for number in range(self.partitions)
            ]
        finally:
            reader.close()

    def records(self) -> list[Message]:
        """All records of the topic."""
        reader = Reader(self.pipeline.config)
        try:
            return [
                message
                for partition in range(self.partitions)
                for batch in reader.read(
                    partition, {self.name: reader.offset_range(self.name, partition)}, 20
                )
                for message in batch
            ]
        finally:
            reader.close()


@dataclass
class Ingestions:
    """`homma ingest` as processes of one test; none outlives it."""

    topic: ForeignTopic
    folder: Path
    all: list[Running] = field(default_factory=list)

    def start(self, *flags: str, env: Mapping[str, str] | None = None) -> Running:
        pipeline, log = self.topic.pipeline, self.folder / f"ingest{len(self.all)}.log"
        feed = self.folder / "exchange.toml"
        feed.write_text(EXCHANGE.partition("]\n")[2])
        argv = [
            *(sys.executable, "-m", "homma", "ingest", f"{feed}={self.topic.name}"),
            *("--bootstrap.servers", pipeline.bootstrap, "--topic", pipeline.topics.ticks),
            *("--candle-topic", pipeline.name + "_{name}", "--group", pipeline.settings.group),
            *("--emit-every", "20ms"),
            *flags,
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(argv, env={**os.environ, **(env or {})}, stderr=output)
        running = Running(process, log, has_failpoint=FAILPOINT in (env or {}))
        self.all.append(running)
        return running

    def __enter__(self) -> "Ingestions":
        return self

    def __exit__(self, *error: object) -> None:
        for number, running in enumerate(self.all):
            running.kill()
            if error[0] is not None:
                print(f"--- ingest {number}, status {running.process.returncode}")
                print("\n".join(running.output().splitlines()[-40:]))


def check(topic: ForeignTopic) -> None:
    """Assert that each record of EXCHANGE became exactly one tick or dead letter, or none of both.

    The ticks are those that json makes of the records.
    """
    pipeline = topic.pipeline
    ticks = [json.loads(m.value() or b"") for m in pipeline.records(pipeline.topics.ticks)]
    dead = Counter(_origin(letter) for letter in pipeline.records(pipeline.topics.dead))
    made = {(t["number"] % PARTITIONS, t["number"] // PARTITIONS): t for t in ticks}
    assert len(made) == len(ticks)
    expected: dict[tuple[int, int], dict[str, Any]] = {}
    refused: Counter[tuple[int, int]] = Counter()
    for message in topic.records():
        position = (message.partition() or 0, message.offset() or 0)
        kind, fields = _read(message.value() or b"")
        if kind == "trade":
            expected[position] = fields
        elif kind == "broken":
            refused[position] += 1
    assert dead == refused, (dead - refused, refused - dead)
    assert made.keys() == expected.keys()
    for position, fields in expected.items():
        made_of = made[position]
        assert {name: made_of[name] for name in fields} == fields
    # One partition for each series.
    places = {(m.key(), m.partition()) for m in pipeline.records(pipeline.topics.ticks)}
    assert len(places) == len({key for key, _ in places})


def _origin(letter: Message) -> tuple[int, int]:
    headers = dict(letter.headers() or ())
    assert headers["error"]
    return int(headers["partition"] or 0), int(headers["offset"] or 0)


def _read(value: bytes) -> tuple[str, dict[str, Any]]:
    """What a message is, and the fields of its tick."""
    try:
        message = json.loads(value)
    except ValueError:
        return "broken", {}
    if not isinstance(message, dict):
        return "broken", {}
    if message.get("kind") != "trade":
        return "other", {}
    try:
        price, size = float(message["p"]), float(message["q"])
    except ValueError:
        return "broken", {}
    at = _EPOCH + timedelta(microseconds=message["t"])
    tick = {
        "source": "EXCHANGE",
        "symbol": message["pair"].replace("-", ""),
        "price": price,
        "size": size,
        "dateTime": at.isoformat(timespec="milliseconds"),
    }
    return "trade", tick
