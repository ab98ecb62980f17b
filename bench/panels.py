"""How long Trino takes for the panels of Grafana's dashboards of candles.

    make bench WHAT=panels
    make bench WHAT=panels ARGS="--rows 1000000 --times 5"

The table of 1-minute candles has 100 series, one commit per day, as `homma land` leaves past days
after compaction. The tables of the other intervals have the candles of the last three days. The
queries are those of the committed dashboards, as Grafana sends them.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import polars as pl
import trino as client

from bench import report
from bench.reading import BEGINS, MINUTES, SERIES, day_of
from bench.storage import Storage, storage, takes_storage_port
from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import Interval
from homma.lake.schema import CANDLE_KEY, candle_table
from homma.lake.table import Lake
from homma.settings import UpSettings
from homma.stack.downloads.archive import ensure_unpacked, read_archive
from homma.stack.servers import trino
from tests.support.dashboards import dashboard, panel_queries, sql_for, time_range, variables

BOARD = dashboard("candles")
LAKE = variables("candles")["lake"]["query"]
SOURCES = 2
#: Days of candles in the coarser tables.
COARSE_DAYS = 3
VALUES = {
    "open": pl.first("open"),
    "high": pl.max("high"),
    "low": pl.min("low"),
    "close": pl.last("close"),
    "volume": pl.sum("volume"),
}


def market(day: int) -> pl.DataFrame:
    """A day of 1-minute candles, two sources per symbol."""
    number = pl.col("symbol").str.slice(3).cast(pl.Int32)
    return (
        day_of(day)
        .with_columns(
            source=pl.format("SOURCE_{}", number % SOURCES + 1),
            symbol=pl.format("SYM{}", (number // SOURCES).cast(pl.String).str.zfill(3)),
        )
        .sort(CANDLE_KEY)
    )


def coarser(minutes: pl.DataFrame, interval: Interval) -> pl.DataFrame:
    """Candles of an interval, rolled up from 1-minute candles."""
    at = interval.floor(pl.col("date_time").cast(pl.Int64))
    start = at.cast(pl.Datetime("us", "UTC"))
    rest = [name for name in minutes.columns if name not in (*VALUES, *CANDLE_KEY)]
    candles = minutes.group_by("source", "symbol", start.alias("date_time")).agg(
        **VALUES, **{name: pl.last(name) for name in rest}
    )
    return candles.select(minutes.columns).sort(CANDLE_KEY)


def fill(lake: Lake, days: int) -> int:
    """Fill all tables. Returns the number of rows in the table of 1-minute candles."""
    finest, *coarse = DEFAULT_CALENDAR
    minutes = lake.ensure_table(candle_table(finest))
    last: list[pl.DataFrame] = []
    for day in range(days):
        frame = market(day)
        minutes.commit(minutes.upload(frame))
        last = [*last, frame][-COARSE_DAYS:]
    for interval in coarse:
        table = lake.ensure_table(candle_table(interval))
        table.commit(table.upload(coarser(pl.concat(last), interval)))
    return days * SERIES * MINUTES


@contextmanager
def reader(store: Storage, port: int) -> Iterator[client.dbapi.Cursor]:
    """A cursor of a Trino over the lake."""
    server = ensure_unpacked(read_archive("trino"), UpSettings().cache.expanduser())
    environment = trino.lake_environment(store.properties) | {
        "HOMMA_BOOTSTRAP_SERVERS": "127.0.0.1:1"
    }
    node = trino.Node(store.folder / "trino", port, server, trino.settings_folder(), environment)
    process = trino.start(node)
    try:
        yield client.dbapi.Connection("127.0.0.1", port, "homma", catalog="iceberg").cursor()
    finally:
        process.stop()


def queries(end: datetime) -> dict[str, str]:
    """The queries that opening the dashboards sends, by panel or variable."""
    choices = {"lake": LAKE, "source": "SOURCE_1", "symbol": "SYM025", "interval": "1min"}
    statements = {
        f"variable {name}": sql_for(variable["query"], choices, (end, end))
        for name, variable in variables("candles").items()
        if variable["type"] == "query"
    }
    [corrections] = BOARD["annotations"]["list"]
    span = time_range(BOARD, {}, end)
    statements["corrections"] = sql_for(corrections["target"]["rawSQL"], choices, span)
    for query in (*panel_queries("candles"), *panel_queries("intervals")):
        statements[query.title] = sql_for(query.query, choices, time_range(BOARD, query.panel, end))
    return statements


def timed(cursor: client.dbapi.Cursor, sql: str, times: int) -> tuple[int, list[float]]:
    """The number of rows, and the seconds of each execution."""
    seconds = []
    rows: list[list[object]] = []
    for _ in range(times):
        began_s = time.perf_counter()
        cursor.execute(sql)  # type: ignore[no-untyped-call]
        rows = cursor.fetchall()
        seconds.append(time.perf_counter() - began_s)
    return len(rows), seconds


def main() -> None:
    """Fill the tables, then run the queries of every panel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    report.takes_markdown(parser)
    takes_storage_port(parser)
    parser.add_argument("--trino-port", type=int, default=18390)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=7)
    args = parser.parse_args()
    days = -(-args.rows // (SERIES * MINUTES))
    with storage(args.storage_port) as store:
        lake = Lake(store.properties, LAKE.partition(".")[2])
        rows = fill(lake, days)
        lake.close()
        measured = []
        with reader(store, args.trino_port) as cursor:
            for name, sql in queries(BEGINS + timedelta(days=days)).items():
                count, seconds = timed(cursor, sql, args.times)
                figures = (seconds[0], statistics.median(seconds), max(seconds[1:] or seconds))
                measured.append((name, f"{count:,}", *(f"{value:.2f}" for value in figures)))
    report.show(
        f"Panels over {rows:,} candles; {report.machine()}",
        ("panel", "rows", "first s", "median s", "slowest s (excluding the first)"),
        measured,
        markdown=args.markdown,
    )


if __name__ == "__main__":
    main()
