"""The ticks of the benchmarks, and functions that send them to a topic."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl
from confluent_kafka import Producer
from rich.console import Console
from rich.progress import track

from homma.core.decimals import parse_sizes
from homma.core.fields import TickKind
from homma.settings import TopicSettings
from homma.topics import codec, contract
from homma.topics.kafka.admin import Admin

PARTITIONS = 4
START_US = 1_742_428_800_000_000  # 2025-03-20, a Thursday
#: Ticks created at once.
STEP = 50_000
# The broker's maximum.
_TRANSACTION_MS = 900_000
_FLUSH_S = 120


@dataclass(frozen=True)
class Market:
    """`ticks` ticks in order of time, evenly over `span_us`, all series in turn."""

    ticks: int
    series: int
    span_us: int
    start_us: int = START_US
    kind: TickKind = "quote"

    def frame(self, first: int, count: int) -> pl.DataFrame:
        """Ticks `first` to `first + count`, with the columns of a tick's JSON."""
        n = pl.int_range(first, first + count, eager=True).alias("n")
        at = pl.from_epoch(self.start_us + pl.col("n") * self.span_us // self.ticks, time_unit="us")
        cents = n.to_frame().select((pl.col("n") * 7919 % 1000).cast(pl.Float64)).to_series()
        # A column, because polars divides by a constant inexactly: prices have two decimals.
        hundred = pl.repeat(100.0, count, eager=True)
        ticks = n.to_frame().with_columns(at=at.dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"))
        # Sizes of a crypto exchange, with up to eight digits after the point.
        size = parse_sizes(((ticks["n"] * 104_729 % 10**9) / 1e8).cast(pl.String))
        quote = {
            "ask": pl.lit((cents + 60_001) / hundred),
            "bid": pl.lit((cents + 60_000) / hundred),
            "mid": pl.lit((cents + 60_000) / hundred),
            "askMarkup": pl.lit(0),
            "bidMarkup": pl.lit(0),
            "isTradable": pl.lit(value=True),
        }
        trade = {
            "price": pl.lit((cents + 60_000) / hundred),
            "size": pl.lit(size),
            "side": pl.lit("buy"),
        }
        return ticks.select(
            source=pl.format("SOURCE_{}", pl.col("n") % self.series % 2),
            symbol=pl.format("SYM{}", pl.col("n") % self.series),
            **(trade if self.kind == "trade" else quote),
            number=pl.col("n") + self.start_us,
            dateTime="at",
            receiveDateTime="at",
        )

    def records(self, step: int = STEP) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Keys and values of all ticks, `step` at a time."""
        for first in range(0, self.ticks, step):
            yield codec.encode_ticks(self.frame(first, min(step, self.ticks - first)))


def make_topics(bootstrap: str, topics: TopicSettings) -> contract.Topics:
    """Create the topics of the contract."""
    Admin({"bootstrap.servers": bootstrap}).ensure(contract.specs(topics, PARTITIONS), 1)
    return contract.topics(topics)


@contextmanager
def withheld(bootstrap: str, topic: str, market: Market) -> Iterator[Callable[[], None]]:
    """A market's ticks in a topic; calling the yielded function makes all of them readable at once.

    The ticks are in an open transaction, so that a consumer can be ready, and the clock started,
    before there is anything to read.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": f"bench-{topic}",
            "transaction.timeout.ms": _TRANSACTION_MS,
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "log_level": 3,
        }
    )
    producer.init_transactions()
    producer.begin_transaction()
    steps = -(-market.ticks // STEP)
    for keys, values in track(
        market.records(),
        f"{market.ticks:,} ticks into {topic}",
        total=steps,
        console=Console(stderr=True),
        transient=True,
    ):
        produce(producer, topic, keys, values)
    if producer.flush(_FLUSH_S):
        raise SystemExit("the broker did not accept all ticks: check whether its disk is full")
    yield producer.commit_transaction
    producer.close()


def produce(producer: Producer, topic: str, keys: list[bytes], values: list[bytes]) -> None:
    """Produce records; wait while the producer's queue is full."""
    for key, value in zip(keys, values, strict=True):
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
    producer.poll(0)
