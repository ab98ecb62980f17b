"""The time from sending a live tick until its candle is readable.

    make bench WHAT=latency
    make bench WHAT=latency ARGS="--emit-every 100ms --seconds 20"

Broker, engine and feed are processes of their own; this process reads candle_1min with
read_committed and notes when each record arrives. The number of a tick is the time of its creation,
and a candle names its closing tick. So the first record that includes a tick is known for every
tick, not only for a sample.
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
from homma.core.interval import MINUTE
from homma.settings import TopicSettings
from homma.topics import codec
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Reader

SERIES = ["source", "symbol"]
TIMEOUT_US = 120_000_000
#: Two starting points, to separate the engine's time from that of the feed's client.
LEGS = {
    "tick created → candle readable": "created_us",
    "tick in Kafka → candle readable": "kafka_us",
}


@dataclass(frozen=True)
class LatencyResult:
    """Ticks with their timestamps, and the engine's share of a CPU core."""

    ticks: pl.DataFrame
    cpu_share: float


def arrivals(bootstrap: str, topic: str, series: int, to_us: int) -> pl.DataFrame:
    """Candle records and arrival times (`read_us`), until they have all ticks before `to_us`."""
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
    done: set[tuple[str, str]] = set()
    while len(done) < series:
        if time.time_ns() // 1000 > to_us + TIMEOUT_US:
            raise SystemExit("candles are more than two minutes late: the machine is too busy")
        message = consumer.poll(0.1)
        if message is None or message.error() is not None:
            continue
        read_us = time.time_ns() // 1000
        candle = json.loads(message.value() or b"")
        name = candle["source"], candle["symbol"]
        rows.append((*name, candle["closeNumber"], read_us))
        if candle["closeNumber"] >= to_us:
            done.add(name)
    consumer.close()
    return pl.DataFrame(rows, schema=[*SERIES, "closeNumber", "read_us"], orient="row")


def ticks_made(bootstrap: str, topic: str, from_us: int, to_us: int) -> pl.DataFrame:
    """The ticks of a period with times of creation (`created_us`) and in Kafka (`kafka_us`)."""
    reader = Reader({"bootstrap.servers": bootstrap})
    frames: list[pl.DataFrame] = []
    for partition in range(PARTITIONS):
        span = {topic: reader.offset_range(topic, partition)}
        for batch in reader.read(partition, span, 10):
            kafka_us = pl.Series([m.timestamp()[1] * 1000 for m in batch], dtype=pl.Int64)
            parsed = codec.decode_ticks([message.value() for message in batch])
            frames.append(
                parsed.select(*SERIES, created_us="number").with_columns(kafka_us=kafka_us)
            )
    reader.close()
    return pl.concat(frames).filter(pl.col("created_us").is_between(from_us, to_us))


def waits(ticks: pl.DataFrame, candles: pl.DataFrame) -> pl.DataFrame:
    """Each tick with the arrival time of the first candle record that includes it."""
    # A candle repeats its close when it becomes final; the first record counts.
    first = candles.group_by(*SERIES, "closeNumber").agg(pl.col("read_us").min())
    return ticks.sort("created_us").join_asof(
        first.sort("closeNumber"),
        left_on="created_us",
        right_on="closeNumber",
        by=SERIES,
        strategy="forward",
        check_sortedness=False,
    )


def measure(
    bootstrap: str, folder: Path, name: str, emit_every: str, args: argparse.Namespace
) -> LatencyResult:
    """Start an engine and measure its latency."""
    topics = TopicSettings(
        topic=f"{name}_ticks", candle_topic=name + "_{name}", replication_factor=1
    )
    names = make_topics(bootstrap, topics)
    with engines(bootstrap, topics, name, folder) as group:
        engine = group.start("--emit-every", emit_every)
        group.until(group.ready)
        return measure_ready(group, engine, names, args)


def measure_ready(
    group: Engines, engine: Engine, names: Topics, args: argparse.Namespace
) -> LatencyResult:
    """Feed an engine that is ready, warm up, then measure its latency."""
    bootstrap = group.bootstrap
    with feeding(bootstrap, names.ticks, args.rate, args.series):
        group.until(lambda: group.committed() > 0)
        time.sleep(args.warm_up)
        # The consumer gets a second to find its offsets.
        from_us = time.time_ns() // 1000 + 1_000_000
        to_us = from_us + int(args.seconds * 1e6)
        cpu_s, began_s = engine.cpu_s(), time.perf_counter()
        candles = arrivals(bootstrap, names.candles[MINUTE.code], args.series, to_us)
        cpu_share = (engine.cpu_s() - cpu_s) / (time.perf_counter() - began_s)
    return LatencyResult(
        waits(ticks_made(bootstrap, names.ticks, from_us, to_us), candles), cpu_share
    )


def rows(emit_every: str, result: LatencyResult) -> list[list[str]]:
    """One row per leg."""
    cells: list[list[str]] = []
    for leg, since in LEGS.items():
        ms = result.ticks.select((pl.col("read_us") - pl.col(since)) / 1000).to_series()
        figures = [f"{ms.quantile(share):,.0f}" for share in (0.5, 0.99, 1.0)]
        cpu = f"{result.cpu_share * 100:.0f} %"
        cells.append([leg, emit_every, f"{result.ticks.height:,}", *figures, cpu])
    return cells


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=int, default=20_000, help="ticks per second")
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--emit-every", action="append", help="100ms and 1s")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds")
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    with broker(args.port) as (bootstrap, folder):
        table = [
            row
            for n, every in enumerate(args.emit_every or ("100ms", "1s"))
            for row in rows(every, measure(bootstrap, folder, f"latency{n}", every, args))
        ]
    report.show(
        f"{args.rate:,} ticks/s live, {args.series:,} series, {args.seconds:g} s",
        ("from, to", "emit_every", "ticks", "p50 ms", "p99 ms", "max ms", "engine's CPU"),
        table,
        markdown=args.markdown,
    )


if __name__ == "__main__":
    main()
