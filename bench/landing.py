"""Ticks per second into the lake, and the time of a commit and of a round over all tables.

    make bench WHAT=landing
    make bench WHAT=landing ARGS="--ticks 1000000 --commits 100 --rounds 30"

Kafka, SeaweedFS and `homma land` share the machine. Compare the ratios.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from bench import contenders, report
from bench.broker import broker, takes_port
from bench.market import PARTITIONS, Market, make_topics, withheld
from bench.stopwatch import peak_mib
from bench.storage import Storage, storage, takes_storage_port
from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.candle import order_key
from homma.core.interval import MINUTE, Interval
from homma.failpoint import ignore_step
from homma.lake.land.iceberg.candle_sink import CandleSink
from homma.lake.land.iceberg.committing import RetryPolicy
from homma.lake.land.iceberg.table_sink import SinkContext
from homma.lake.land.newest import FinalityRules
from homma.lake.land.sink import SourceTopic
from homma.lake.schema import TICKS, candle_table, tables
from homma.lake.table import Lake
from homma.metrics import LAND, Metrics
from homma.settings import TopicSettings
from homma.topics import codec

SERIES = 100
#: The time of a commit is the median of this many commits around it.
AROUND = 9
#: Number of commits of a table between maintenance runs.
MAINTAIN_EVERY = 25
STEP = timedelta(seconds=10)
NOON = datetime(2025, 3, 20, 12, tzinfo=UTC)
_STARTED_AT = re.compile(r"from offsets \[")


# --- ticks ------------------------------------------------------------------------------------
def landed(
    bootstrap: str, folder: Path, store: Storage, market: Market
) -> tuple[contenders.Result, contenders.Result]:
    """`homma land`, then the raw loop, on the same ticks."""
    topics = TopicSettings(topic="land_ticks", candle_topic="land_{name}", replication_factor=1)
    names = make_topics(bootstrap, topics)
    log = folder / "land.log"
    argv = [
        sys.executable,
        "-m",
        "homma",
        "land",
        "--bootstrap.servers",
        bootstrap,
        "--topic",
        topics.topic,
        "--candle-topic",
        topics.candle_topic,
        *store.flags,
        "--namespace",
        "landing",
        "--commit-every",
        "1s",
    ]
    with withheld(bootstrap, names.ticks, market) as release, log.open("wb") as output:
        process = subprocess.Popen(argv, env={**os.environ, **store.environment}, stderr=output)
        try:
            while len(_STARTED_AT.findall(log.read_text())) < len(tables(DEFAULT_CALENDAR)):
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            release()
            began_s = time.perf_counter()
            seconds = _until_landed(store, market, began_s)
            peak = peak_mib(process.pid)
        finally:
            process.terminate()
            process.wait()
    raw = contenders.raw_loop(bootstrap, names.ticks, market)
    return contenders.Result(market.ticks, seconds, 0.0, peak), raw


def _until_landed(store: Storage, market: Market, began_s: float) -> float:
    """Poll the table until all ticks are in it. Offsets include the transaction marker."""
    lake = Lake(store.properties, "landing")
    table = lake.table(TICKS)
    while True:
        offsets = table.offsets()
        if offsets and sum(offsets.next.values()) >= market.ticks:
            lake.close()
            return time.perf_counter() - began_s
        time.sleep(0.1)
        table.refresh()


# --- commits ----------------------------------------------------------------------------------
class Record:
    """The parts of a Kafka record that a sink reads."""

    def __init__(self, value: bytes, offset: int, timestamp_ms: int) -> None:
        self._fields = value, offset, timestamp_ms

    def key(self) -> bytes:
        return b""

    def value(self) -> bytes:
        return self._fields[0]

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._fields[1]

    def timestamp(self) -> tuple[int, int]:
        return 0, self._fields[2]

    def topic(self) -> str:
        return ""

    def headers(self) -> None:
        return None


def sink_context() -> SinkContext:
    return SinkContext(
        RetryPolicy(lambda: False),
        Metrics(LAND),
        ignore_step,
        orphan_retention_s=3600.0,
        # The benchmarks call `maintain` themselves.
        maintain_every=1 << 62,
    )


def sinks(lake: Lake) -> list[CandleSink]:
    context = sink_context()
    return [
        CandleSink(
            lake.ensure_table(candle_table(interval)),
            SourceTopic(interval.name, "id", interval),
            context,
            1.0,
            FinalityRules(interval, 2_000_000, 5_000_000),
        )
        for interval in DEFAULT_CALENDAR
    ]


def records(interval: Interval, at: datetime, first: int) -> list[Any]:
    """The candles of all series in a commit: open ones, and those that just became final."""
    now_us = int(at.timestamp() * 1e6)
    floor = interval.floor
    event_us = {False: now_us, True: now_us - STEP // timedelta(microseconds=1)}
    frames = []
    for final, us in event_us.items():
        rows = pl.select(n=pl.int_range(SERIES)).select(
            source=pl.lit("S"),
            symbol=pl.format("SYM{}", "n"),
            start_us=floor(pl.lit(us)),
            open=1.0,
            high=2.0,
            low=0.5,
            close=1.5,
            volume=pl.lit(first + 1),
            tick_count=pl.lit(first + 1),
            open_order_key=order_key(pl.lit(us), pl.lit(1)),
            close_order_key=order_key(pl.lit(us), pl.lit(2)),
            is_final=pl.lit(final),
            revision=pl.lit(int(final), pl.Int32),
        )
        frames.append(rows)
    open_rows, previous = frames[0], frames[1]
    final_rows = previous.filter(pl.col("start_us") < open_rows["start_us"][0])
    _, values = codec.encode_candles(pl.concat([final_rows, open_rows]), now_us)
    return [Record(value, first + n, now_us // 1000) for n, value in enumerate(values)]


def commits(store: Storage, count: int) -> list[float]:
    """Seconds of each commit to the 1-minute table, without maintenance."""
    lake = Lake(store.properties, "commits")
    sink = sinks(lake)[0]
    seconds = []
    for number in range(count):
        sink.take({0: records(MINUTE, NOON + number * STEP, number * 1000)}, {})
        began_s = time.perf_counter()
        sink.commit(sink.cut())
        seconds.append(time.perf_counter() - began_s)
        if (number + 1) % MAINTAIN_EVERY == 0:
            sink.maintain()
    lake.close()
    return seconds


def rounds(store: Storage, count: int) -> list[float]:
    """Seconds of each round over the tables of all intervals, with maintenance."""
    lake = Lake(store.properties, "rounds")
    all_sinks = sinks(lake)
    seconds: list[float] = []
    with ThreadPoolExecutor(4) as pool:
        for number in range(count):
            for interval, sink in zip(DEFAULT_CALENDAR, all_sinks, strict=True):
                sink.take({0: records(interval, NOON + number * STEP, number * 1000)}, {})
            began_s = time.perf_counter()
            list(pool.map(lambda sink: sink.commit(sink.cut()), all_sinks))
            if (number + 1) % MAINTAIN_EVERY == 0:
                list(pool.map(lambda sink: sink.maintain(), all_sinks))
            seconds.append(time.perf_counter() - began_s)
    lake.close()
    return seconds


def around(seconds: list[float], nth: int) -> float:
    """The median of the commits around the nth, in milliseconds."""
    first = max(0, nth - 1 - AROUND // 2)
    return statistics.median(seconds[first : first + AROUND]) * 1000


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=4_000_000)
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    takes_storage_port(parser)
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    market = Market(args.ticks, SERIES, 7_200_000_000)
    with (
        broker(args.port) as (bootstrap, folder),
        storage(args.storage_port) as store,
    ):
        land, raw = landed(bootstrap, folder, store, market)
        commits_s = commits(store, args.commits)
        rounds_s = rounds(store, args.rounds)
    show(land, raw, commits_s, rounds_s, markdown=args.markdown)


def show(
    land: contenders.Result,
    raw: contenders.Result,
    commits_s: list[float],
    rounds_s: list[float],
    *,
    markdown: bool,
) -> None:
    """Print the results in one table."""
    rate, raw_rate = land.ticks / land.seconds, raw.ticks / raw.seconds
    rows = [
        [f"ticks/s landed, {land.ticks:,} ticks on {PARTITIONS} partitions", f"{rate:,.0f}"],
        ["÷ raw loop", f"{rate / raw_rate:.2f}"],
        ["peak memory of `homma land` (MiB)", f"{land.peak_mib:,.0f}"],
        *(
            [f"time of the {nth:,}th commit (ms)", f"{around(commits_s, nth):,.0f}"]
            for nth in (10, 100, 1000)
            if nth <= len(commits_s)
        ),
        [
            f"median time of a round over {len(DEFAULT_CALENDAR.codes)} tables (s)",
            f"{statistics.median(rounds_s):.2f}",
        ],
        ["time of the longest round (s)", f"{max(rounds_s):.2f}"],
        [
            "median time of the last tenth of the rounds (s)",
            f"{statistics.median(rounds_s[-max(1, len(rounds_s) // 10) :]):.2f}",
        ],
    ]
    report.show(f"The lake, {SERIES} series", ("measurement", "value"), rows, markdown=markdown)


if __name__ == "__main__":
    main()
