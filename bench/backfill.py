"""Recorded ticks in Parquet to candles: ticks per second, compared with a plain polars group_by.

    make bench WHAT=backfill
    make bench WHAT=backfill ARGS="--ticks 20000000"

One core: polars has one thread, in this process. The plain group_by computes open, high, low, close
and volume per minute of ordered ticks: without deduplication, and for one interval instead of
eleven.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

# Must be set before polars is imported.
os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl

from bench import report
from bench.stopwatch import peak_mib
from bench.storage import storage, takes_storage_port
from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import MINUTE_US
from homma.core.recompute import FROM_FILE, EventSpan, Recomputation, Slice
from homma.core.tick import measures
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording
from homma.lake.audit.backfill import load
from homma.lake.audit.counted_ticks import CountedTicks, SeriesFilter
from homma.lake.schema import TICKS
from homma.lake.table import Lake

BEGINS_US = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
#: Ticks per second of event time, over all series.
RATE = 20
PART = 2_000_000


def record(path: Path, ticks: int, series: int) -> None:
    """Write a file of ticks in order of time, 1 % of them duplicates."""
    at = pl.int_range(ticks, eager=True)
    original = at - (at % 100 == 99).cast(pl.Int64) * series
    which = original % series
    price = 100 + (original * 7919 % 10_007) / 1000
    pl.DataFrame(
        {
            "source": pl.Series(["SOURCE_1"]).new_from_index(0, ticks),
            "symbol": "SYM" + which.cast(pl.String),
            "ask": price + 0.01,
            "bid": price - 0.01,
            "mid": price,
            "number": original,
            "dateTime": (BEGINS_US + original * (1_000_000 // RATE)).cast(pl.Datetime("us")),
        }
    ).write_parquet(path)


def group_by(path: Path) -> int:
    """The lower bound: a group_by of polars for one interval."""
    minute = pl.col("dateTime").dt.truncate("1m")
    candles = (
        pl.scan_parquet(path)
        .group_by("source", "symbol", minute)
        .agg(
            pl.col("mid").first().alias("open"),
            pl.col("mid").max().alias("high"),
            pl.col("mid").min().alias("low"),
            pl.col("mid").last().alias("close"),
            pl.len(),
        )
        .collect()
    )
    return candles.height


def from_file(path: Path) -> int:
    """Candles of all intervals, directly from the file."""
    recomputation, count = Recomputation(DEFAULT_CALENDAR), 0
    for ticks in _slices(path):
        count += recomputation.add(ticks).height
    return count


def _slices(path: Path) -> Iterator[Slice]:
    """The file is ordered: all but the last minute of a part is complete."""
    frames: list[pl.DataFrame] = []
    after_us = 0
    for frame in Recording([path], ColumnMapping()).frames():
        frames.append(
            frame.select(
                "source",
                "symbol",
                "event_us",
                "number",
                *measures("mid"),
                partition=pl.lit(FROM_FILE, pl.Int64),
                offset="number",
            )
        )
        if sum(part.height for part in frames) >= PART:
            ticks = pl.concat(frames)
            # A duplicate is at most `series` ticks after its original.
            edge_us = int(ticks["event_us"][-1]) // MINUTE_US * MINUTE_US - MINUTE_US
            yield Slice(after_us, edge_us, ticks.filter(pl.col("event_us") < edge_us))
            frames, after_us = [ticks.filter(pl.col("event_us") >= edge_us)], edge_us
    yield Slice(after_us, EventSpan().end_us, pl.concat(frames))


def from_lake(lake: Lake) -> int:
    """Candles of all intervals, from the ticks in the lake."""
    recomputation, count = Recomputation(DEFAULT_CALENDAR), 0
    counted = CountedTicks(lake.table(TICKS), "mid", SeriesFilter(), {})
    for ticks in counted.slices(EventSpan(), DEFAULT_CALENDAR):
        count += recomputation.add(ticks).height
    return count


def timed(name: str, ticks: int, run: Callable[[], object]) -> tuple[str, float, float]:
    """The name, ticks per second, and ticks per CPU second."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    run()
    seconds, cpu = time.perf_counter() - began_s, time.process_time() - cpu_s
    return name, ticks / seconds, ticks / cpu


def main() -> None:
    """Record, group, load, recompute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    report.takes_markdown(parser)
    takes_storage_port(parser)
    parser.add_argument("--ticks", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=20)
    args = parser.parse_args()
    with storage(args.storage_port) as store:
        path = store.folder / "ticks.parquet"
        record(path, args.ticks, args.series)
        lake = Lake(store.properties, "market_data")
        recording = Recording([path], ColumnMapping())
        rows = [
            timed("polars group_by, 1 interval", args.ticks, lambda: group_by(path)),
            timed("Parquet to candles, 11 intervals", args.ticks, lambda: from_file(path)),
            timed(
                "Parquet into the lake",
                args.ticks,
                lambda: load(recording.frames(), lake, 0, lambda _: None, skip_invalid=False),
            ),
            timed("the lake's ticks to candles", args.ticks, lambda: from_lake(lake)),
        ]
        lake.close()
    base = rows[0][2]
    report.show(
        f"{args.ticks:,} ticks of {args.series} series; peak {peak_mib('self'):,.0f} MiB; "
        f"{report.machine()}",
        ("measurement", "ticks/s", "ticks/CPU s", "CPU ÷ group_by"),
        [(name, f"{rate:,.0f}", f"{cpu:,.0f}", f"{base / cpu:.1f}") for name, rate, cpu in rows],
        markdown=args.markdown,
    )


if __name__ == "__main__":
    main()
