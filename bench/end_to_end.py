"""How fast the engine is, against the bare Kafka client on the same topic, in one run.

    make bench                      2 million ticks, 100 series, 4 partitions
    make bench ARGS="--series 10000"

Each contender is a process of its own, so that CPU seconds and peak memory are its own. Machines
differ: quote the ratios.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import track
from rich.table import Table

from homma.cli.local import answers
from homma.settings import AggregateSettings, TopicSettings
from homma.stack import jars, kafka
from homma.topics import codec, contract

PARTITIONS = 4
TOPICS = TopicSettings(replication_factor=1)
START_US = 1_742_428_800_000_000


def ticks(first: int, count: int, total: int, series: int, span_us: int) -> pl.DataFrame:
    """Ticks `first` to `first + count` of `total`, in order of time, series in turn."""
    n = pl.int_range(first, first + count, eager=True).alias("n")
    at = pl.from_epoch(START_US + pl.col("n") * span_us // total, time_unit="us")
    cents = (pl.col("n") * 7919 % 1000).cast(pl.Float64)
    return n.to_frame().select(
        source=pl.format("SOURCE_{}", pl.col("n") % series % 2),
        symbol=pl.format("SYM{}", pl.col("n") % series),
        ask=(60_000 + cents + 1) / 100,
        bid=(60_000 + cents) / 100,
        mid=(60_000 + cents) / 100,
        askMarkup=0,
        bidMarkup=0,
        isTradable=True,
        number=pl.col("n") + START_US,
        dateTime=at.dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"),
        receiveDateTime=at.dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"),
    )


def fill(bootstrap: str, count: int, series: int, span_us: int) -> None:
    """The topics of the contract, and the ticks."""
    from homma.topics.kafka.admin import Admin
    from homma.topics.kafka.writing import Sender

    config = {"bootstrap.servers": bootstrap}
    Admin(config).ensure(contract.specs(TOPICS, PARTITIONS), 1)
    sender, step = Sender(config), 50_000
    for first in track(range(0, count, step), "sending ticks", console=Console(stderr=True)):
        some = ticks(first, min(step, count - first), count, series, span_us)
        sender.send(TOPICS.topic, *codec.ticks_to(some))
    if sender.flush(120):
        raise SystemExit("the broker did not take all ticks")


def raw_loop(bootstrap: str, count: int) -> None:
    """`consumer.consume` and nothing else."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-raw",
            "isolation.level": "read_committed",
            "queued.min.messages": 200_000,
        }
    )
    consumer.assign([TopicPartition(TOPICS.topic, p, 0) for p in range(PARTITIONS)])
    read = len(consumer.consume(1, 10))
    started = time.perf_counter()
    while read < count:
        read += len(consumer.consume(20_000, 0.2))
    told(read, started)


def engine(bootstrap: str, count: int) -> None:
    """The engine: 11 intervals, duplicates recognised, transactions on."""
    from homma.aggregate.job import engine as candles_of
    from homma.aggregate.loop import sources
    from homma.metrics import AGGREGATE, Metrics
    from homma.topics.kafka.admin import Admin

    config = {"bootstrap.servers": bootstrap}
    metrics = Metrics(AGGREGATE)
    found = sources(config, contract.topics(TOPICS), Admin(config))
    running = candles_of(found, AggregateSettings(group="bench", until_end=True), metrics)
    started = [0.0]

    def stopped() -> bool:
        # Joining the group takes its time whatever comes after: count from the first tick on.
        if not started[0] and running.reading:
            started[0] = time.perf_counter()
        return False

    running.run(stopped)
    counted = metrics.registry.get_sample_value("homma_ticks_counted_total") or 0
    if counted != count:
        raise SystemExit(f"{counted:,.0f} of {count:,} ticks were counted")
    told(int(counted), started[0])


def told(count: int, started: float) -> None:
    """A contender's result as JSON, for the process that has started it."""
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "ticks_per_s": count / seconds,
        "cpu_s_per_million": (used.ru_utime + used.ru_stime) / count * 1e6,
        "peak_mib": used.ru_maxrss / 1024,
    }
    print(json.dumps(result))


CONTENDERS: dict[str, Callable[[str, int], None]] = {"raw loop": raw_loop, "homma": engine}


def measured(name: str, bootstrap: str, count: int) -> dict[str, Any]:
    """Run a contender in a process of its own."""
    argv = [sys.executable, "-m", "bench.end_to_end", "--only", name, "--bootstrap", bootstrap,
            "--ticks", str(count)]  # fmt: skip
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=os.environ)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=2_000_000)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--hours", type=float, default=2.0, help="event time the ticks span")
    parser.add_argument("--port", type=int, default=19192)
    parser.add_argument("--only", choices=list(CONTENDERS))
    parser.add_argument("--bootstrap")
    asked = parser.parse_args()
    if asked.only:
        CONTENDERS[asked.only](asked.bootstrap, asked.ticks)
        return
    bootstrap = f"127.0.0.1:{asked.port}"
    class_path = jars.fetch(jars.read_lock("kafka"), Path("~/.cache/homma/jars").expanduser())
    with (
        tempfile.TemporaryDirectory() as home,
        kafka.running(
            Path(home), asked.port, asked.port + 1, class_path, lambda: answers(bootstrap)
        ),
    ):
        fill(bootstrap, asked.ticks, asked.series, int(asked.hours * 3.6e9))
        found = {name: measured(name, bootstrap, asked.ticks) for name in CONTENDERS}
    show(found, asked)


def show(found: dict[str, dict[str, Any]], asked: argparse.Namespace) -> None:
    title = f"{asked.ticks:,} ticks, {asked.series:,} series, {asked.hours:g} h of event time"
    table = Table("contender", title=title)
    for column in ("ticks/s", "of the raw loop", "CPU s / million", "peak MiB"):
        table.add_column(column, justify="right")
    bare = found["raw loop"]["ticks_per_s"]
    for name, result in found.items():
        table.add_row(
            name,
            f"{result['ticks_per_s']:,.0f}",
            f"{result['ticks_per_s'] / bare:.2f}",
            f"{result['cpu_s_per_million']:.2f}",
            f"{result['peak_mib']:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
