"""Every panel of Grafana's dashboard *Candles* out of many candles: how long Trino takes for it.

    make bench WHAT=panels
    make bench WHAT=panels ARGS="--rows 1000000 --times 5"

The table of minutes holds those of 100 series, day by day, as `homma land` leaves them once closed
days are put together; the tables of the other intervals have the candles of its last three days.
Queries are those of the committed dashboard, as Grafana sends them.
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
from homma.core.interval import INTERVALS
from homma.lake.schema import CANDLES
from homma.lake.table import Lake
from homma.settings import UpSettings
from homma.stack import trino
from homma.stack.archive import read_archive, unpacked
from tests.deploy.dashboards import asked, dashboard, sent, shown, variables

BOARD = dashboard("candles")
LAKE = variables("candles")["lake"]["query"]
SOURCES = 2
#: The days that the coarser tables have.
COARSE_DAYS = 3
VALUES = {
    "open": pl.first("open"),
    "high": pl.max("high"),
    "low": pl.min("low"),
    "close": pl.last("close"),
    "volume": pl.sum("volume"),
}


def market(day: int) -> pl.DataFrame:
    """A day of minutes, each instrument quoted by two sources."""
    number = pl.col("symbol").str.slice(3).cast(pl.Int32)
    return (
        day_of(day)
        .with_columns(
            source=pl.format("SOURCE_{}", number % SOURCES + 1),
            symbol=pl.format("SYM{}", (number // SOURCES).cast(pl.String).str.zfill(3)),
        )
        .sort(CANDLES[0].sort)
    )


def coarser(minutes: pl.DataFrame, interval: int) -> pl.DataFrame:
    """Candles of an interval, of those of its minutes."""
    at = INTERVALS[interval].floor(pl.col("date_time").cast(pl.Int64))
    start = at.cast(pl.Datetime("us", "UTC"))
    rest = [name for name in minutes.columns if name not in (*VALUES, *CANDLES[0].sort)]
    made = minutes.group_by("source", "symbol", start.alias("date_time")).agg(
        **VALUES, **{name: pl.last(name) for name in rest}
    )
    return made.select(minutes.columns).sort(CANDLES[0].sort)


def fill(lake: Lake, days: int) -> int:
    """All tables; how many rows the table of minutes has."""
    minutes = lake.make(CANDLES[0])
    last: list[pl.DataFrame] = []
    for day in range(days):
        frame = market(day)
        minutes.commit(minutes.upload(frame))
        last = [*last, frame][-COARSE_DAYS:]
    for place, spec in list(enumerate(CANDLES))[1:]:
        table = lake.make(spec)
        table.commit(table.upload(coarser(pl.concat(last), place)))
    return days * SERIES * MINUTES


@contextmanager
def reader(store: Storage, port: int) -> Iterator[client.dbapi.Cursor]:
    """A Trino over that lake."""
    server = unpacked(read_archive("trino"), UpSettings().cache.expanduser())
    told = trino.lake_environment(store.properties) | {"HOMMA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    node = trino.Node(store.folder / "trino", port, server, trino.settings_folder(), told)
    process = trino.start(node)
    try:
        yield client.dbapi.Connection("127.0.0.1", port, "homma", catalog="iceberg").cursor()
    finally:
        process.stop()


def queries(end: datetime) -> dict[str, str]:
    """What is asked when the dashboard is opened, by panel and by variable."""
    chosen = {"lake": LAKE, "source": "SOURCE_1", "symbol": "SYM025", "interval": "1min"}
    found = {
        f"variable {name}": sent(one["query"], chosen, (end, end))
        for name, one in variables("candles").items()
        if one["type"] == "query"
    }
    for one in asked("candles"):
        found[one.title] = sent(one.query, chosen, shown(BOARD, one.panel, end))
    return found


def timed(cursor: client.dbapi.Cursor, sql: str, times: int) -> tuple[int, list[float]]:
    """The rows, and the seconds of each time."""
    took = []
    rows: list[list[object]] = []
    for _ in range(times):
        began_s = time.perf_counter()
        cursor.execute(sql)  # type: ignore[no-untyped-call]
        rows = cursor.fetchall()
        took.append(time.perf_counter() - began_s)
    return len(rows), took


def main() -> None:
    """Fill the tables, then ask for every panel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    report.takes_markdown(parser)
    takes_storage_port(parser)
    parser.add_argument("--trino-port", type=int, default=18390)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=7)
    given = parser.parse_args()
    days = -(-given.rows // (SERIES * MINUTES))
    with storage(given.storage_port) as store:
        lake = Lake(store.properties, LAKE.partition(".")[2])
        rows = fill(lake, days)
        lake.close()
        measured = []
        with reader(store, given.trino_port) as cursor:
            for what, sql in queries(BEGINS + timedelta(days=days)).items():
                count, took = timed(cursor, sql, given.times)
                figures = (took[0], statistics.median(took), max(took[1:] or took))
                measured.append((what, f"{count:,}", *(f"{value:.2f}" for value in figures)))
    report.show(
        f"Panels out of {rows:,} candles; {report.machine()}",
        ("panel", "rows", "first s", "median s", "slowest but the first s"),
        measured,
        markdown=given.markdown,
    )


if __name__ == "__main__":
    main()
