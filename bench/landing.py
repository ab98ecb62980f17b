"""How fast ticks get into the lake, what a commit costs, and what a round over all tables does.

    make bench WHAT=landing
    make bench WHAT=landing ARGS="--ticks 1000000 --commits 100 --rounds 30"

Kafka, SeaweedFS and `homma land` share the machine. Quote the ratios.
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
from homma.core.candle import order_key
from homma.core.interval import INTERVALS
from homma.failpoint import ignored
from homma.lake.candles import CandleSink
from homma.lake.committing import RetryPolicy
from homma.lake.newest import FinalityRules
from homma.lake.schema import CANDLES, TICKS
from homma.lake.sinks import SinkContext, SourceTopic
from homma.lake.table import Lake
from homma.metrics import LAND, Metrics
from homma.settings import TopicSettings
from homma.topics import codec

SERIES = 100
#: A commit's time is the median of so many around it.
AROUND = 9
STEP = timedelta(seconds=10)
NOON = datetime(2025, 3, 20, 12, tzinfo=UTC)
_AT = re.compile(r"from offsets \[")


# --- ticks ------------------------------------------------------------------------------------
def landed(
    bootstrap: str, folder: Path, where: Storage, market: Market
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
        *where.flags,
        "--namespace",
        "landing",
        "--commit-every",
        "1s",
    ]
    with withheld(bootstrap, names.ticks, market) as release, log.open("wb") as said:
        process = subprocess.Popen(argv, env={**os.environ, **where.environment}, stderr=said)
        try:
            while len(_AT.findall(log.read_text())) < len(CANDLES) + 1:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            release()
            began_s = time.perf_counter()
            seconds = _until_held(where, market, began_s)
            peak = peak_mib(process.pid)
        finally:
            process.terminate()
            process.wait()
    raw = contenders.raw_loop(bootstrap, names.ticks, market)
    return contenders.Result(market.ticks, seconds, 0.0, peak), raw


def _until_held(where: Storage, market: Market, began_s: float) -> float:
    """Look at the table until all ticks are in it. Offsets count the transaction's mark as well."""
    lake = Lake(where.properties, "landing")
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
    """A Kafka record as far as a sink looks at it."""

    def __init__(self, value: bytes, offset: int, timestamp_ms: int) -> None:
        self._said = value, offset, timestamp_ms

    def key(self) -> bytes:
        return b""

    def value(self) -> bytes:
        return self._said[0]

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._said[1]

    def timestamp(self) -> tuple[int, int]:
        return 0, self._said[2]


def workplace() -> SinkContext:
    return SinkContext(
        RetryPolicy(lambda: False), Metrics(LAND), ignored, keep_s=3600.0, maintain_every=25
    )


def sinks(lake: Lake) -> list[CandleSink]:
    place_of = workplace()
    return [
        CandleSink(
            lake.make(spec),
            SourceTopic(spec.name, "id"),
            place_of,
            1.0,
            FinalityRules(code, 2_000_000, 5_000_000),
        )
        for code, spec in enumerate(CANDLES)
    ]


def records(interval: int, at: datetime, first: int) -> list[Any]:
    """The candles of all series that a commit brings: the open ones, those just over too."""
    now_us = int(at.timestamp() * 1e6)
    floor = INTERVALS[interval].floor
    starts = {False: now_us, True: now_us - STEP // timedelta(microseconds=1)}
    frames = []
    for final, us in starts.items():
        rows = pl.select(n=pl.int_range(SERIES)).select(
            source=pl.lit("S"),
            symbol=pl.format("SYM{}", "n"),
            start_us=floor(pl.lit(us)),
            open=1.0,
            high=2.0,
            low=0.5,
            close=1.5,
            volume=pl.lit(first + 1),
            open_order_key=order_key(pl.lit(us), pl.lit(1)),
            close_order_key=order_key(pl.lit(us), pl.lit(2)),
            is_final=pl.lit(final),
            revision=pl.lit(int(final), pl.Int32),
        )
        frames.append(rows)
    open_rows, before = frames[0], frames[1]
    over = before.filter(pl.col("start_us") < open_rows["start_us"][0])
    _, values = codec.candles_to(pl.concat([over, open_rows]), now_us)
    return [Record(value, first + n, now_us // 1000) for n, value in enumerate(values)]


def commits(where: Storage, count: int) -> list[float]:
    """Seconds of each commit to the 1-minute table, tidying left out."""
    lake = Lake(where.properties, "commits")
    sink = sinks(lake)[0]
    found = []
    for number in range(count):
        sink.take({0: records(0, NOON + number * STEP, number * 1000)})
        began_s = time.perf_counter()
        sink.land()
        found.append(time.perf_counter() - began_s)
        if sink.maintenance_due:
            sink.maintain()
    lake.close()
    return found


def rounds(where: Storage, count: int) -> list[float]:
    """Seconds of each round over the tables of all intervals, tidying included."""
    lake = Lake(where.properties, "rounds")
    every, found = sinks(lake), []
    with ThreadPoolExecutor(4) as pool:
        for number in range(count):
            for code, sink in enumerate(every):
                sink.take({0: records(code, NOON + number * STEP, number * 1000)})
            began_s = time.perf_counter()
            list(pool.map(lambda sink: sink.land(), every))
            list(pool.map(lambda sink: sink.maintain(), [s for s in every if s.maintenance_due]))
            found.append(time.perf_counter() - began_s)
    lake.close()
    return found


def around(found: list[float], nth: int) -> float:
    """The median of the commits around the nth, milliseconds."""
    first = max(0, nth - 1 - AROUND // 2)
    return statistics.median(found[first : first + AROUND]) * 1000


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=4_000_000)
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    takes_storage_port(parser)
    takes_port(parser)
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    market = Market(asked.ticks, SERIES, 7_200_000_000)
    with (
        broker(asked.port) as (bootstrap, folder),
        storage(asked.storage_port) as where,
    ):
        land, raw = landed(bootstrap, folder, where, market)
        once = commits(where, asked.commits)
        every = rounds(where, asked.rounds)
    show(land, raw, once, every, markdown=asked.markdown)


def show(
    land: contenders.Result,
    raw: contenders.Result,
    once: list[float],
    every: list[float],
    *,
    markdown: bool,
) -> None:
    """What was found, in one table."""
    rate, bare = land.ticks / land.seconds, raw.ticks / raw.seconds
    rows = [
        [f"ticks/s landed, {land.ticks:,} ticks on {PARTITIONS} partitions", f"{rate:,.0f}"],
        ["÷ raw loop", f"{rate / bare:.2f}"],
        ["peak MiB of `homma land`", f"{land.peak_mib:,.0f}"],
        *(
            [f"ms of the {nth:,}th commit", f"{around(once, nth):,.0f}"]
            for nth in (10, 100, 1000)
            if nth <= len(once)
        ),
        [f"s of a round over {len(CANDLES)} tables, median", f"{statistics.median(every):.2f}"],
        ["s of the longest round", f"{max(every):.2f}"],
        [
            "s of the last tenth's median round",
            f"{statistics.median(every[-max(1, len(every) // 10) :]):.2f}",
        ],
    ]
    report.show(f"The lake, {SERIES} series", ("what", "found"), rows, markdown=markdown)


if __name__ == "__main__":
    main()
