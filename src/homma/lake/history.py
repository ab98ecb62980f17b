"""Reads candles and ticks from the lake, for people and for other programs."""

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from homma.core.decimals import DECIMAL, text
from homma.core.fields import VALUE_FIELDS
from homma.core.fill import fill_previous
from homma.core.interval import DAY_US
from homma.core.series import NAMES
from homma.lake.schema import INSTANT, CandleRows, TableSpec, TickRows
from homma.lake.table import Table, Where

#: Multiples of the expected time range in which the newest rows are searched, before all of it.
_LOOK_BACK_FACTORS: Final = (2, 20, 400)
#: How far back the candle before a range is searched, before everything earlier.
_LOOK_BEFORE_US: Final = (DAY_US, 32 * DAY_US)
#: Expected time range per tick.
_PER_TICK_US: Final = DAY_US // 48


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Filters by symbol, source (empty: all) and time range [since_us, until_us).

    `last` limits the result to the newest rows of each series; 0: no limit.
    """

    symbol: str = ""
    source: str = ""
    since_us: int | None = None
    until_us: int | None = None
    last: int = 0

    def where(self) -> Where:
        """The filter for `Table.scan`."""
        series = ((self.source, self.symbol),) if self.source and self.symbol else ()
        symbols = (self.symbol,) if self.symbol and not series else ()
        return Where(series, symbols, self.since_us, self.until_us)

    def filter_source(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows of the source (column source)."""
        return rows.filter(pl.col("source") == self.source) if self.source else rows


def candles(table: Table, query: HistoryQuery, now_us: int, *, fill: bool = False) -> CandleRows:
    """Candles by series and start; `fill`: gaps get the last close."""
    interval = table.spec.interval
    assert interval is not None
    rows = _newest(table, query, now_us, interval.longest_us)
    if not fill:
        return rows
    instant = pl.col("date_time").cast(pl.Int64).alias("start_us")
    with_start = pl.concat([_before(table, query), rows]).with_columns(instant)
    until_us = None if query.until_us is None else min(query.until_us, now_us)
    filled = fill_previous(with_start, interval, until_us).with_columns(
        date_time=pl.col("start_us").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        # Filled candles count as final: only a late tick can change them.
        is_final=pl.col("is_final").fill_null(value=True),
    )
    filled = filled.with_columns(
        pl.col(field.column).fill_null(0)
        for field in VALUE_FIELDS
        if field.merge == "sum" and field.of != "trade"
    )
    if query.since_us is not None:
        filled = filled.filter(pl.col("start_us") >= query.since_us)
    return _last(filled.select(rows.columns), query.last, table.spec)


def ticks(table: Table, query: HistoryQuery, now_us: int) -> TickRows:
    """Ticks by series and order key, duplicates and late ticks included."""
    return _newest(table, query, now_us, _PER_TICK_US)


def _newest(table: Table, query: HistoryQuery, now_us: int, per_row_us: int) -> pl.DataFrame:
    """The matching rows, sorted; reads back only as far as needed for the newest."""
    newest = pl.DataFrame(schema=table.spec.schema)
    if query.last and query.since_us is None:
        end_us = min(now_us, query.until_us or now_us)
        for factor in _LOOK_BACK_FACTORS:
            since_us = end_us - factor * per_row_us * query.last
            if since_us <= 0:
                break
            newest = _read(table, replace(query, since_us=since_us), newest)
            counts = newest.group_by(NAMES).len()
            if counts.height and bool((counts["len"] >= query.last).all()):
                return newest
            # What was read is not read again.
            query = replace(query, until_us=since_us)
    return _read(table, query, newest)


def _read(table: Table, query: HistoryQuery, newer: pl.DataFrame) -> pl.DataFrame:
    """The matching rows and the newer ones, sorted."""
    if not query.last:
        return query.filter_source(table.scan(query.where())).sort(table.spec.sort)
    newest = newer
    # One file at a time: the whole range may not fit into memory.
    for rows in table.batches(query.where()):
        newest = _last(pl.concat([newest, query.filter_source(rows)]), query.last, table.spec)
    return newest


def _last(rows: pl.DataFrame, count: int, spec: TableSpec) -> pl.DataFrame:
    ordered = rows.sort(spec.sort)
    return ordered.group_by(NAMES, maintain_order=True).tail(count) if count else ordered


def _before(table: Table, query: HistoryQuery) -> CandleRows:
    """The last candle of each series before the range, whose close fills its first gap."""
    if query.since_us is None:
        return pl.DataFrame(schema=table.spec.schema)
    for back_us in (*_LOOK_BEFORE_US, query.since_us):
        earlier = replace(
            query, since_us=max(0, query.since_us - back_us), until_us=query.since_us, last=1
        )
        candles = _read(table, earlier, pl.DataFrame(schema=table.spec.schema))
        if candles.height:
            break
    return candles


def to_record_fields(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """Rename columns of the table to the fields of records; drops Kafka's partition and offset.

    Fields of quotes or of trades that no row has are left out. The volume of candles of trades is
    their traded size.
    """
    columns = [c for c in spec.columns if c.json and not (c.of and rows[c.name].is_null().all())]
    if spec.interval is not None and "traded_volume" in {column.name for column in columns}:
        size = pl.coalesce("traded_volume", pl.col("volume").cast(DECIMAL))
        rows = rows.with_columns(size.alias("traded_volume"))
        columns = [column for column in columns if column.name != "volume"]
    return rows.select(pl.col(column.name).alias(column.json) for column in columns)


def format_values(rows: pl.DataFrame) -> pl.DataFrame:
    """Format instants and decimals of `to_record_fields` as records do, as text."""
    formatted = [
        pl.when(pl.col(name).dt.microsecond() % 1000 == 0)
        .then(pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"))
        .otherwise(pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S%.6f"))
        .alias(name)
        for name, dtype in rows.schema.items()
        if dtype == INSTANT
    ]
    return rows.with_columns(*formatted, *(text(pl.col(name)) for name in decimals_of(rows)))


def decimals_of(rows: pl.DataFrame) -> list[str]:
    """The names of the columns of decimals."""
    return [name for name, dtype in rows.schema.items() if dtype == DECIMAL]
