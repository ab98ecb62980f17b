"""Reading a day of 1-minute candles of one series: the time of the scan and of the command.

    make bench WHAT=reading
    make bench WHAT=reading ARGS="--rows 1000000 --times 5"

The table has 1-minute candles of 100 series, one commit per day, as `homma land` leaves past days
after compaction.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl

from bench import report
from bench.storage import Storage, storage, takes_storage_port
from homma.core.fields import TRADED
from homma.core.interval import DAY_US, MINUTE, MINUTE_US
from homma.lake.history import HistoryQuery, candles
from homma.lake.schema import candle_table
from homma.lake.table import Lake, Table

TABLE = candle_table(MINUTE)
SERIES = 100
MINUTES = 1_440
BEGINS = datetime(2024, 1, 1, tzinfo=UTC)


def day_of(day: int) -> pl.DataFrame:
    """A day of 1-minute candles of all series."""
    begins_us = int(BEGINS.timestamp()) * 1_000_000 + day * DAY_US
    rows = SERIES * MINUTES
    at = pl.int_range(rows, eager=True)
    minute = pl.Series("date_time", (at % MINUTES) * MINUTE_US + begins_us)
    price = 100 + (at % 977) / 100
    instant = minute.cast(pl.Datetime("us", "UTC"))
    columns = {
        "source": pl.Series(["SOURCE_1"]).new_from_index(0, rows),
        "symbol": "SYM" + (at // MINUTES).cast(pl.String).str.zfill(3),
        "date_time": instant,
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price + 0.5,
        "volume": at % 60 + 1,
        "tick_count": at % 60 + 1,
        "open_date_time": instant,
        "open_number": at,
        "close_date_time": instant,
        "close_number": at + 1,
        "is_final": pl.repeat(value=True, n=rows, eager=True),
        "revision": pl.repeat(1, rows, dtype=pl.Int32, eager=True),
        "update_date_time": instant,
    }
    absent = [pl.lit(None, TABLE.schema[field.column]).alias(field.column) for field in TRADED]
    frame = pl.DataFrame(columns).with_columns(absent)
    return frame.select(TABLE.schema.names()).cast(TABLE.schema)


def fill(table: Table, days: int) -> int:
    """Fill the table with `days` days. Returns the number of rows."""
    for day in range(days):
        table.commit(table.upload(day_of(day)))
    return days * SERIES * MINUTES


def timed(times: int, run: Callable[[], object]) -> list[float]:
    """The seconds of each run."""
    seconds = []
    for _ in range(times):
        began_s = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began_s)
    return seconds


def command(store: Storage, day: datetime) -> None:
    """Run the command with the usual command line."""
    out = store.folder / "day.csv"
    argv = [
        sys.executable,
        "-m",
        "homma",
        "candles",
        "m1",
        "SYM050",
        *store.flags,
        "--from",
        day.date().isoformat(),
        "--to",
        (day + timedelta(days=1)).date().isoformat(),
        "--output",
        str(out),
    ]
    subprocess.run(argv, check=True, env={**os.environ, **store.environment})
    assert out.read_text().count("\n") == MINUTES + 1


def main() -> None:
    """Fill a table, then read a day from it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    report.takes_markdown(parser)
    takes_storage_port(parser)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=7)
    args = parser.parse_args()
    days = -(-args.rows // (SERIES * MINUTES))
    day = BEGINS + timedelta(days=days // 2)
    since_us = int(day.timestamp()) * 1_000_000
    query = HistoryQuery("SYM050", "SOURCE_1", since_us, since_us + DAY_US)
    with storage(args.storage_port) as store:
        lake = Lake(store.properties, "market_data")
        rows = fill(lake.ensure_table(TABLE), days)

        def scan() -> None:
            # Open the table each time, so that no metadata is cached.
            assert candles(lake.table(TABLE), query, since_us).height == MINUTES

        measured = {
            "open the table, plan and read": timed(args.times, scan),
            "homma candles, from start to end": timed(args.times, lambda: command(store, day)),
            "python -c 'import polars, pyiceberg.catalog.rest', for comparison": timed(
                args.times,
                lambda: subprocess.run(
                    [sys.executable, "-c", "import polars, pyiceberg.catalog.rest"], check=True
                ),
            ),
        }
        lake.close()
    report.show(
        f"A day of 1-minute candles of one series out of {rows:,} rows; {report.machine()}",
        ("measurement", "median s", "fastest s", "slowest s"),
        [
            (
                name,
                *(f"{s:.2f}" for s in (statistics.median(seconds), min(seconds), max(seconds))),
            )
            for name, seconds in measured.items()
        ],
        markdown=args.markdown,
    )


if __name__ == "__main__":
    main()
