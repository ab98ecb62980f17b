"""From recorded ticks in Parquet to candles: ticks a second, beside a bare group_by of polars.

    make bench WHAT=backfill
    make bench WHAT=backfill ARGS="--ticks 20000000"

One core: polars is held to one thread, in this process. The bare group_by makes open, high, low,
close and volume of minutes, of ticks that stand in order, and nothing else: no duplicates are
looked for, and there is one interval instead of eleven.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

# Before polars is imported.
os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl

from bench import report
from bench.stopwatch import peak_mib
from bench.storage import storage, takes_storage_port
from homma.core.interval import MINUTE_US
from homma.core.recompute import EventSpan, Recomputing, Slice
from homma.feed.recorded import Layout
from homma.feed.replay import Recording
from homma.lake.backfill import load
from homma.lake.counted_ticks import CountedTicks, SeriesFilter
from homma.lake.schema import TICKS
from homma.lake.table import Lake

BEGINS_US = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
#: Ticks of a second of event time, all series together.
RATE = 20
PART = 2_000_000


def record(path: Path, ticks: int, series: int) -> None:
    """A file of ticks in order of time, one in a hundred of them twice."""
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


def bare(path: Path) -> int:
    """What polars needs at least for one interval."""
    minute = pl.col("dateTime").dt.truncate("1m")
    made = (
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
    return made.height


def from_file(path: Path) -> int:
    """Candles of all intervals, straight from the file."""
    adding, count = Recomputing(), 0
    for piece in _slices(path):
        count += adding.add(piece).height
    return count


def _slices(path: Path) -> Iterator[Slice]:
    """The file is in order: what is not of the last minute of a part is whole."""
    held: list[pl.DataFrame] = []
    after_us = 0
    for frame in Recording([path], Layout()).frames():
        held.append(
            frame.select(
                "source",
                "symbol",
                "event_us",
                "number",
                pl.col("mid").alias("price"),
                partition=pl.lit(-1, pl.Int64),
                offset="number",
            )
        )
        if sum(part.height for part in held) >= PART:
            ticks = pl.concat(held)
            # A copy comes at most `series` ticks after its original.
            edge_us = int(ticks["event_us"][-1]) // MINUTE_US * MINUTE_US - MINUTE_US
            yield Slice(after_us, edge_us, ticks.filter(pl.col("event_us") < edge_us))
            held, after_us = [ticks.filter(pl.col("event_us") >= edge_us)], edge_us
    yield Slice(after_us, EventSpan().end_us, pl.concat(held))


def from_lake(lake: Lake) -> int:
    """Candles of all intervals, of the ticks in the lake."""
    adding, count = Recomputing(), 0
    for piece in CountedTicks(lake.table(TICKS), "mid", SeriesFilter(), {}).slices(EventSpan()):
        count += adding.add(piece).height
    return count


def timed(name: str, ticks: int, do: Callable[[], object]) -> tuple[str, float, float]:
    """The name, ticks a second, and ticks a CPU second."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    do()
    seconds, cpu = time.perf_counter() - began_s, time.process_time() - cpu_s
    return name, ticks / seconds, ticks / cpu


def main() -> None:
    """Record, group, load, recompute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    report.takes_markdown(parser)
    takes_storage_port(parser)
    parser.add_argument("--ticks", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=20)
    asked = parser.parse_args()
    with storage(asked.storage_port) as store:
        path = store.folder / "ticks.parquet"
        record(path, asked.ticks, asked.series)
        lake = Lake(store.properties, "market_data")
        recording = Recording([path], Layout())
        rows = [
            timed("polars group_by, 1 interval", asked.ticks, lambda: bare(path)),
            timed("Parquet to candles, 11 intervals", asked.ticks, lambda: from_file(path)),
            timed(
                "Parquet into the lake",
                asked.ticks,
                lambda: load(recording.frames(), lake, 0, skip_bad=False),
            ),
            timed("the lake's ticks to candles", asked.ticks, lambda: from_lake(lake)),
        ]
        lake.close()
    base = rows[0][2]
    report.show(
        f"{asked.ticks:,} ticks of {asked.series} series; peak {peak_mib('self'):,.0f} MiB; "
        f"{report.machine()}",
        ("what", "ticks/s", "ticks/CPU s", "CPU, times the group_by's"),
        [(name, f"{rate:,.0f}", f"{cpu:,.0f}", f"{base / cpu:.1f}") for name, rate, cpu in rows],
        markdown=asked.markdown,
    )


if __name__ == "__main__":
    main()
