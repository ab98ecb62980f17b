"""A separate pipeline on the shared broker: topics, ticks in, engine, candles out."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import polars as pl

from homma.aggregate.job import candle_loop
from homma.core import fields
from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.decimals import DECIMAL
from homma.core.interval import BY_CODE, CLOCK, CODE
from homma.metrics import AGGREGATE, Metrics
from homma.partitions.loop import Loop
from homma.partitions.stage import tick_topics
from homma.settings import AggregateSettings, TopicSettings
from homma.topics import codec, contract
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import Message, Reader
from homma.topics.kafka.writing import Sender, Transactions
from homma.topics.ticks import ParsedBatch
from tests.support.waiting import NEVER_S

KEY = ["source", "symbol", "interval", "start_us"]
VALUES = [*fields.VALUES, "open_order_key", "close_order_key"]


def tick(
    at: str,
    price: float = 1.0,
    number: int = 1,
    symbol: str = "AAA",
    source: str = "S",
    **more: Any,
) -> dict[str, Any]:
    """A valid tick as its JSON object; `at` is the dateTime."""
    return {
        "source": source,
        "symbol": symbol,
        "ask": price + 0.5,
        "bid": price - 0.5,
        "mid": price,
        "number": number,
        "dateTime": at,
        **more,
    }


@dataclass
class Pipeline:
    """The topics and the engine of one test."""

    bootstrap: str
    partitions: int = 1
    name: str = field(default_factory=lambda: "t" + uuid.uuid4().hex[:10])
    calendar: Calendar = DEFAULT_CALENDAR

    def __post_init__(self) -> None:
        self.config: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        self.choose(self.calendar)
        self.settings = AggregateSettings(group=self.name)
        self.metrics = Metrics(AGGREGATE)

    def choose(self, calendar: Calendar) -> None:
        """Choose the intervals of the engines that start from now on."""
        self.calendar = calendar
        self.topic_settings = TopicSettings(
            intervals=calendar,
            topic=f"{self.name}_ticks",
            candle_topic=self.name + "_{name}",
            replication_factor=1,
        )
        self.topics: Topics = contract.topics(self.topic_settings)
        Admin(self.config).ensure(contract.specs(self.topic_settings, self.partitions), 1)

    def send(self, *ticks: dict[str, Any] | bytes) -> None:
        """Send ticks keyed by series; bytes are sent unchanged and without a key."""
        sender = Sender(self.config)
        for tick in ticks:
            if isinstance(tick, bytes):
                sender.send(self.topics.ticks, [None], [tick])  # type: ignore[list-item]
            else:
                key = f"{tick['source']}:{tick['symbol']}".encode()
                sender.send(self.topics.ticks, [key], [json.dumps(tick).encode()])
        assert sender.flush(30) == 0

    def send_many(self, ticks: Iterable[dict[str, Any]]) -> None:
        """Send many ticks, keyed by series."""
        sender = Sender(self.config)
        remaining = iter(ticks)
        while part := list(islice(remaining, 20_000)):
            keys = [f"{tick['source']}:{tick['symbol']}".encode() for tick in part]
            sender.send(self.topics.ticks, keys, [json.dumps(tick).encode() for tick in part])
        assert sender.flush(60) == 0

    def send_frame(self, ticks: pl.DataFrame) -> None:
        """Send a frame of ticks."""
        sender = Sender(self.config)
        for part in ticks.iter_slices(50_000):
            sender.send(self.topics.ticks, *codec.encode_ticks(part))
        assert sender.flush(60) == 0

    def engine(self, **settings: Any) -> Loop[ParsedBatch]:
        """An engine in this process."""
        topics = tick_topics(self.config, self.topics, Admin(self.config))
        return candle_loop(topics, replace(self.settings, **settings), self.metrics)

    def work_off(self, **settings: Any) -> None:
        """Process the ticks in the topic, until its end."""
        self.engine(until_end=True, **settings).run(lambda: False)

    @contextmanager
    def running(self, **settings: Any) -> Iterator[threading.Thread]:
        """An engine in a thread while the block runs."""
        stop = threading.Event()
        engine = self.engine(**settings)
        thread = threading.Thread(target=engine.run, args=(stop.is_set,))
        thread.start()
        try:
            yield thread
        finally:
            stop.set()
            thread.join(60)

    def process(self, *flags: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """`homma aggregate` as a separate process."""
        argv = [
            sys.executable,
            "-m",
            "homma",
            "aggregate",
            "--bootstrap.servers",
            self.bootstrap,
            "--topic",
            self.topics.ticks,
            "--candle-topic",
            self.name + "_{name}",
            "--intervals",
            str(self.calendar),
            "--group",
            self.settings.group,
            *flags,
        ]
        return subprocess.Popen(argv, env=env or os.environ, stderr=subprocess.DEVNULL)

    def batches(self, *topics: str) -> Iterator[list[Message]]:
        """All committed records of topics, partition by partition."""
        reader = Reader(self.config)
        try:
            for partition in range(self.partitions):
                ranges = {topic: reader.offset_range(topic, partition) for topic in topics}
                yield from reader.read(partition, ranges, 20)
        finally:
            reader.close()

    def records(self, *topics: str) -> list[Message]:
        """All committed records of topics, partition by partition."""
        return [message for batch in self.batches(*topics) for message in batch]

    def candles(self) -> pl.DataFrame:
        """The newest record of every key of the chosen intervals, with `revision`, `is_final`."""
        frames = [codec.decode_candles([], CLOCK)]
        for batch in self.batches(*self.topics.public_candles.values()):
            for code, topic in self.topics.public_candles.items():
                # The key of a tombstone is parsed as a candle without values.
                values = [m.value() or m.key() or b"" for m in batch if m.topic() == topic]
                if values:
                    frames.append(codec.decode_candles(values, BY_CODE[code]))
        newest = pl.concat(frames).unique(KEY, keep="last", maintain_order=True).sort(KEY)
        return newest.filter(pl.col("volume").is_not_null())

    def candle(self, code: str, start: str, symbol: str = "AAA") -> dict[str, Any]:
        """One candle, by interval code and start as text."""
        at = pl.Series([start]).str.to_datetime(time_unit="us").cast(pl.Int64)[0]
        candles = self.candles().filter(
            (pl.col("interval") == code) & (pl.col("start_us") == at) & (pl.col("symbol") == symbol)
        )
        assert candles.height == 1, f"no candle {code} {start} {symbol}"
        return candles.row(0, named=True)

    def counted(self, name: str) -> float:
        """The value of a counter."""
        return self.metrics.registry.get_sample_value(f"{name}_total") or 0.0

    def foreign_transaction(self, partition: int = 0) -> Transactions:
        """A producer that takes over the engine's transactional id, like a successor."""
        name = f"homma-{self.settings.group}-{self.topics.ticks}-{partition}"
        return Transactions(self.config, name, 10_000)


def until(condition: Callable[[], bool], timeout_s: float = NEVER_S) -> None:
    """Wait until a condition is true."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "the condition did not become true in time"
        time.sleep(0.1)


def same_candles(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Assert equality in all fields that depend only on ticks."""
    columns = [*KEY, "end_us", *VALUES]
    actual, expected = actual.select(columns).sort(KEY), expected.select(columns).sort(KEY)
    assert actual.equals(expected), (
        f"{_difference(actual, expected)} instead of {_difference(expected, actual)}"
    )


def _difference(candles: pl.DataFrame, other: pl.DataFrame) -> list[dict[str, Any]]:
    """Up to five rows of `candles` that are not in `other`."""
    others = set(other.rows())
    return [row for row in candles.to_dicts() if tuple(row.values()) not in others][:5]


def batch_candles(
    ticks: Sequence[dict[str, Any]] | pl.DataFrame,
    price: str = "mid",
    calendar: Calendar = DEFAULT_CALENDAR,
) -> pl.DataFrame:
    """The candles of all quotes at once, by a plain group_by over sorted ticks."""
    frame = ticks if isinstance(ticks, pl.DataFrame) else pl.DataFrame(ticks)
    at = pl.col("dateTime").str.to_datetime(time_unit="us").cast(pl.Int64)
    order_key = at.cast(pl.Int128) * (1 << 63) + pl.col("number").cast(pl.Int128)
    unique = frame.with_columns(at=at, order_key=order_key).unique(
        ["source", "symbol", "order_key"], keep="first", maintain_order=True
    )
    ordered = unique.sort("order_key")
    return pl.concat(
        ordered.with_columns(
            interval=pl.lit(interval.code, CODE), start_us=interval.floor(pl.col("at"))
        )
        .with_columns(end_us=interval.next(pl.col("start_us")))
        .group_by([*KEY, "end_us"])
        .agg(
            open=pl.col(price).first(),
            high=pl.col(price).max(),
            low=pl.col(price).min(),
            close=pl.col(price).last(),
            volume=pl.len().cast(pl.Int64),
            traded_volume=pl.lit(0, DECIMAL),
            tick_count=pl.len().cast(pl.Int64),
            turnover=pl.lit(0, DECIMAL),
            open_order_key=pl.col("order_key").first(),
            close_order_key=pl.col("order_key").last(),
        )
        for interval in calendar
    )
