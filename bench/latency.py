"""How long after a tick is sent its candle can be read, with ticks coming in live.

    make bench WHAT=latency
    make bench WHAT=latency ARGS="--emit-every 100ms --seconds 20"

Broker, engine and feed are processes of their own; this one reads candle_1min with
read_committed and notes when each record comes. A tick carries the moment it was made in its
number, and a candle says which tick it ends with: so of every tick, not of a sample, it is known
which record was the first that had it.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from confluent_kafka import Consumer, TopicPartition

from bench import report
from bench.broker import broker, takes_port
from bench.engines import engines
from bench.live import feeding
from bench.market import PARTITIONS, make_topics
from homma.core.interval import FINEST
from homma.settings import TopicSettings
from homma.topics import codec
from homma.topics.kafka.reading import Reader

SERIES = ["source", "symbol"]
#: So long the last ticks' candles are waited for.
TAIL_S = 5.0
#: What the engine waits and does is told apart from what the feed's own client does.
LEGS = {"tick made → candle readable": "made_us", "tick in Kafka → candle readable": "kept_us"}


@dataclass(frozen=True)
class Measured:
    """Milliseconds, one row a tick, and what the engine took meanwhile."""

    ticks: pl.DataFrame
    cpu_s: float
    seconds: float


def arrivals(bootstrap: str, topic: str, seconds: float) -> pl.DataFrame:
    """The candle records that come within so many seconds, and when (`read_us`)."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-latency",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
        }
    )
    consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    values: list[bytes] = []
    read_us: list[int] = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            read_us.append(time.time_ns() // 1000)
            values.append(message.value() or b"")
    consumer.close()
    ends = pl.DataFrame({"value": values}).select(
        pl.col("value").cast(pl.String).str.json_decode(
            pl.Struct({"source": pl.String, "symbol": pl.String, "closeNumber": pl.Int64})
        )
    )  # fmt: skip
    return ends.unnest("value").with_columns(read_us=pl.Series(read_us, dtype=pl.Int64))


def ticks_made(bootstrap: str, topic: str, from_us: int, to_us: int) -> pl.DataFrame:
    """The ticks made in between (`made_us`), and when Kafka had them (`kept_us`)."""
    reader = Reader({"bootstrap.servers": bootstrap})
    frames: list[pl.DataFrame] = []
    for partition in range(PARTITIONS):
        span = {topic: reader.kept(topic, partition)}
        for batch in reader.read(partition, span, 10):
            kept_us = pl.Series([m.timestamp()[1] * 1000 for m in batch], dtype=pl.Int64)
            parsed = codec.ticks_from([message.value() for message in batch])
            frames.append(parsed.select(*SERIES, made_us="number").with_columns(kept_us=kept_us))
    reader.close()
    return pl.concat(frames).filter(pl.col("made_us").is_between(from_us, to_us))


def waits(ticks: pl.DataFrame, candles: pl.DataFrame) -> pl.DataFrame:
    """Of each tick, when the first candle record came that has it."""
    # The same close comes again when a candle is closed; the first time counts.
    first = candles.group_by(*SERIES, "closeNumber").agg(pl.col("read_us").min())
    return ticks.sort("made_us").join_asof(
        first.sort("closeNumber"),
        left_on="made_us",
        right_on="closeNumber",
        by=SERIES,
        strategy="forward",
        check_sortedness=False,
    )


def measure(
    bootstrap: str, folder: Path, name: str, emit_every: str, asked: argparse.Namespace
) -> Measured:
    """Feed, wait until all is warm, then watch."""
    topics = TopicSettings(
        topic=f"{name}_ticks", candle_topic=name + "_{name}", replication_factor=1
    )
    names = make_topics(bootstrap, topics)
    with engines(bootstrap, topics, name, folder) as group:
        engine = group.start("--emit-every", emit_every)
        group.until(group.ready)
        with feeding(bootstrap, names.ticks, asked.rate, asked.series):
            group.until(lambda: group.committed() > 0)
            time.sleep(asked.warm_up)
            cpu_s, from_us = engine.cpu_s(), time.time_ns() // 1000
            candles = arrivals(bootstrap, names.candles[FINEST], asked.seconds + TAIL_S)
            cpu_s = engine.cpu_s() - cpu_s
    # The reader's first second goes by with finding its place; the last ticks' candles come later.
    began_us = from_us + 1_000_000
    made = ticks_made(bootstrap, names.ticks, began_us, began_us + int(asked.seconds * 1e6))
    return Measured(
        waits(made, candles.filter(pl.col("read_us") > from_us)), cpu_s, asked.seconds + TAIL_S
    )


def rows(emit_every: str, found: Measured) -> list[list[str]]:
    """A row a leg."""
    seen = found.ticks.filter(pl.col("read_us").is_not_null())
    lost = found.ticks.height - seen.height
    if lost > found.ticks.height // 1000:
        raise SystemExit(
            f"{lost:,} of {found.ticks.height:,} ticks were in no candle {TAIL_S:g} s later: the "
            "machine is too busy"
        )
    cells: list[list[str]] = []
    for leg, since in LEGS.items():
        ms = seen.select((pl.col("read_us") - pl.col(since)) / 1000).to_series()
        half, most, slowest = (ms.quantile(share) for share in (0.5, 0.99, 1.0))
        cells.append([
            leg, emit_every, f"{seen.height:,}", f"{half:,.0f}", f"{most:,.0f}", f"{slowest:,.0f}",
            f"{found.cpu_s / found.seconds * 100:.0f} %",
        ])  # fmt: skip
    return cells


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=int, default=20_000, help="ticks a second")
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--emit-every", action="append", help="100ms and 1s")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds")
    takes_port(parser)
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    with broker(asked.port) as (bootstrap, folder):
        found = [
            row
            for place, every in enumerate(asked.emit_every or ("100ms", "1s"))
            for row in rows(every, measure(bootstrap, folder, f"latency{place}", every, asked))
        ]
    report.show(
        f"{asked.rate:,} ticks/s live, {asked.series:,} series, {asked.seconds:g} s",
        ("from, to", "emit_every", "ticks", "p50 ms", "p99 ms", "max ms", "engine's CPU"),
        found,
        markdown=asked.markdown,
    )


if __name__ == "__main__":
    main()
