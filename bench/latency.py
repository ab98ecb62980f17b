"""How long after a tick is sent its candle can be read, with ticks coming in live.

    make bench WHAT=latency
    make bench WHAT=latency ARGS="--emit-every 100ms --seconds 20"

Broker, engine and feed are processes of their own; this one reads candle_1min with
read_committed and notes when each record comes. A tick carries the moment it was made in its
number, and a candle says which tick it ends with: so of every tick, not of a sample, it is known
which record was the first that had it.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from confluent_kafka import Consumer, TopicPartition

from bench import report
from bench.broker import broker, takes_port
from bench.live import feeding
from bench.market import PARTITIONS, make_topics
from bench.processes import Engine, Engines, engines
from homma.core.interval import FINEST
from homma.settings import TopicSettings
from homma.topics import codec
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Reader

SERIES = ["source", "symbol"]
PATIENCE_US = 120_000_000
#: What the engine waits and does is told apart from what the feed's own client does.
LEGS = {"tick made → candle readable": "made_us", "tick in Kafka → candle readable": "kept_us"}


@dataclass(frozen=True)
class Measured:
    """Ticks with the instants they passed by, and how much of a core the engine took."""

    ticks: pl.DataFrame
    cpu_share: float


def arrivals(bootstrap: str, topic: str, series: int, to_us: int) -> pl.DataFrame:
    """The candle records that come, and when (`read_us`), until all ticks made by then have one."""
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
    rows: list[tuple[str, str, int, int]] = []
    through: set[tuple[str, str]] = set()
    while len(through) < series:
        if time.time_ns() // 1000 > to_us + PATIENCE_US:
            raise SystemExit("candles are more than two minutes behind: the machine is too busy")
        message = consumer.poll(0.1)
        if message is None or message.error() is not None:
            continue
        read_us = time.time_ns() // 1000
        candle = json.loads(message.value() or b"")
        name = candle["source"], candle["symbol"]
        rows.append((*name, candle["closeNumber"], read_us))
        if candle["closeNumber"] >= to_us:
            through.add(name)
    consumer.close()
    return pl.DataFrame(rows, schema=[*SERIES, "closeNumber", "read_us"], orient="row")


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
        return watch(group, engine, names, asked)


def watch(group: Engines, engine: Engine, names: Topics, asked: argparse.Namespace) -> Measured:
    """Feed an engine that is ready, wait until all is warm, then look on."""
    bootstrap = group.bootstrap
    with feeding(bootstrap, names.ticks, asked.rate, asked.series):
        group.until(lambda: group.committed() > 0)
        time.sleep(asked.warm_up)
        # The reader has its first second to find its place.
        from_us = time.time_ns() // 1000 + 1_000_000
        to_us = from_us + int(asked.seconds * 1e6)
        cpu_s, began_s = engine.cpu_s(), time.perf_counter()
        candles = arrivals(bootstrap, names.candles[FINEST], asked.series, to_us)
        cpu_share = (engine.cpu_s() - cpu_s) / (time.perf_counter() - began_s)
    return Measured(waits(ticks_made(bootstrap, names.ticks, from_us, to_us), candles), cpu_share)


def rows(emit_every: str, found: Measured) -> list[list[str]]:
    """A row a leg."""
    cells: list[list[str]] = []
    for leg, since in LEGS.items():
        ms = found.ticks.select((pl.col("read_us") - pl.col(since)) / 1000).to_series()
        figures = [f"{ms.quantile(share):,.0f}" for share in (0.5, 0.99, 1.0)]
        busy = f"{found.cpu_share * 100:.0f} %"
        cells.append([leg, emit_every, f"{found.ticks.height:,}", *figures, busy])
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
