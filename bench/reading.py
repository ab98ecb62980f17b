"""A day of one series' minutes out of many rows: how long the scan and the whole command take.

    make bench WHAT=reading
    make bench WHAT=reading ARGS="--rows 1000000 --times 5"

The table holds 1-minute candles of 100 series, day by day, as `homma land` leaves them once closed
days are put together.
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
from homma.core.interval import DAY_US, MINUTE_US
from homma.lake.history import HistoryQuery, candles
from homma.lake.schema import CANDLES
from homma.lake.table import Lake, Table

SERIES = 100
MINUTES = 1_440
BEGINS = datetime(2024, 1, 1, tzinfo=UTC)


def day_of(day: int) -> pl.DataFrame:
    """A day of minutes of all series."""
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
        "open_date_time": instant,
        "open_number": at,
        "close_date_time": instant,
        "close_number": at + 1,
        "is_final": pl.repeat(value=True, n=rows, eager=True),
        "revision": pl.repeat(1, rows, dtype=pl.Int32, eager=True),
        "update_date_time": instant,
    }
    return pl.DataFrame(columns).cast(CANDLES[0].schema)


def filled(table: Table, days: int) -> int:
    """The table with so many days; how many rows that are."""
    for day in range(days):
        table.commit(table.upload(day_of(day)))
    return days * SERIES * MINUTES


def timed(times: int, do: Callable[[], object]) -> list[float]:
    """Seconds that it takes, each time."""
    took = []
    for _ in range(times):
        began_s = time.perf_counter()
        do()
        took.append(time.perf_counter() - began_s)
    return took


def command(store: Storage, day: datetime) -> None:
    """The command, as anybody would start it."""
    out = store.folder / "day.csv"
    words = [
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
    subprocess.run(words, check=True, env={**os.environ, **store.environment})
    assert out.read_text().count("\n") == MINUTES + 1


def main() -> None:
    """Fill a table, then read a day of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    report.takes_markdown(parser)
    takes_storage_port(parser)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=7)
    asked = parser.parse_args()
    days = -(-asked.rows // (SERIES * MINUTES))
    day = BEGINS + timedelta(days=days // 2)
    since_us = int(day.timestamp()) * 1_000_000
    wanted = HistoryQuery("SYM050", "SOURCE_1", since_us, since_us + DAY_US)
    with storage(asked.storage_port) as store:
        lake = Lake(store.properties, "market_data")
        rows = filled(lake.make(CANDLES[0]), days)

        def scan() -> None:
            # A table as it is found: what was looked at before is not known.
            assert candles(lake.table(CANDLES[0]), wanted, since_us).height == MINUTES

        measured = {
            "open the table, plan and read": timed(asked.times, scan),
            "homma candles, from start to end": timed(asked.times, lambda: command(store, day)),
            "python -c 'import polars, pyiceberg.catalog.rest', for comparison": timed(
                asked.times,
                lambda: subprocess.run(
                    [sys.executable, "-c", "import polars, pyiceberg.catalog.rest"], check=True
                ),
            ),
        }
        lake.close()
    report.show(
        f"A day of one series' minutes out of {rows:,} rows; {report.machine()}",
        ("what", "median s", "fastest s", "slowest s"),
        [
            (what, *(f"{value:.2f}" for value in (statistics.median(took), min(took), max(took))))
            for what, took in measured.items()
        ],
        markdown=asked.markdown,
    )


if __name__ == "__main__":
    main()
