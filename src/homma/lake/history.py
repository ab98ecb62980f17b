"""What was: candles and ticks out of the lake, for people and for other programs."""

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from homma.core.fill import fill_previous
from homma.core.interval import DAY_US, INTERVALS
from homma.core.series import NAMES
from homma.lake.schema import INSTANT, TableSpec
from homma.lake.table import Table, Where

#: The newest rows are looked for in so many times the time that they would take, then in all.
_LOOK_BACK: Final = (2, 20, 400)
#: So far back the candle before a range is looked for, then in all.
_BEFORE_US: Final = (DAY_US, 32 * DAY_US)
#: How much time is taken for the ticks that are wanted, at first.
_TICKS_US: Final = DAY_US // 48


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which rows: of a symbol, a source (empty: of all), in [since_us, until_us).

    `last`: so many of each series, the newest; 0: all.
    """

    symbol: str = ""
    source: str = ""
    since_us: int | None = None
    until_us: int | None = None
    last: int = 0

    def where(self) -> Where:
        """As the table wants it."""
        series = ((self.source, self.symbol),) if self.source and self.symbol else ()
        symbols = (self.symbol,) if self.symbol and not series else ()
        return Where(series, symbols, self.since_us, self.until_us)

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of the source that is wanted."""
        return rows.filter(pl.col("source") == self.source) if self.source else rows


def candles(table: Table, wanted: HistoryQuery, now_us: int, *, fill: bool = False) -> pl.DataFrame:
    """Candles by series and start, in the table's columns; `fill` carries the last close on."""
    interval = table.spec.interval
    assert interval is not None
    found = _newest(table, wanted, now_us, INTERVALS[interval].longest_us)
    if not fill:
        return found
    instant = pl.col("date_time").cast(pl.Int64).alias("start_us")
    counted = pl.concat([_before(table, wanted), found]).with_columns(instant)
    until_us = None if wanted.until_us is None else min(wanted.until_us, now_us)
    full = fill_previous(counted, interval, until_us).with_columns(
        date_time=pl.col("start_us").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        # What is filled in will stay as it is, unless a late tick comes.
        is_final=pl.col("is_final").fill_null(value=True),
    )
    if wanted.since_us is not None:
        full = full.filter(pl.col("start_us") >= wanted.since_us)
    return _last(full.select(found.columns), wanted.last, table.spec)


def ticks(table: Table, wanted: HistoryQuery, now_us: int) -> pl.DataFrame:
    """Ticks by series and place, in the table's columns, copies and late ones too."""
    return _newest(table, wanted, now_us, _TICKS_US)


def _newest(table: Table, wanted: HistoryQuery, now_us: int, each_us: int) -> pl.DataFrame:
    """The rows wanted, sorted; the newest of them by looking back only as far as need be."""
    if wanted.last and wanted.since_us is None:
        end_us = min(now_us, wanted.until_us or now_us)
        for times in _LOOK_BACK:
            since_us = end_us - times * each_us * wanted.last
            if since_us <= 0:
                break
            rows = _read(table, replace(wanted, since_us=since_us))
            counts = rows.group_by(NAMES).len()
            if counts.height and bool((counts["len"] >= wanted.last).all()):
                return rows
    return _read(table, wanted)


def _read(table: Table, wanted: HistoryQuery) -> pl.DataFrame:
    if not wanted.last:
        return wanted.of(table.scan(wanted.where())).sort(table.spec.sort)
    kept = pl.DataFrame(schema=table.spec.schema)
    # File by file: not all of it need fit into memory.
    for rows in table.batches(wanted.where()):
        kept = _last(pl.concat([kept, wanted.of(rows)]), wanted.last, table.spec)
    return kept


def _last(rows: pl.DataFrame, count: int, spec: TableSpec) -> pl.DataFrame:
    ordered = rows.sort(spec.sort)
    return ordered.group_by(NAMES, maintain_order=True).tail(count) if count else ordered


def _before(table: Table, wanted: HistoryQuery) -> pl.DataFrame:
    """The candle of each series before the range begins, whose close is carried into it."""
    if wanted.since_us is None:
        return pl.DataFrame(schema=table.spec.schema)
    for back_us in (*_BEFORE_US, wanted.since_us):
        earlier = replace(
            wanted, since_us=max(0, wanted.since_us - back_us), until_us=wanted.since_us, last=1
        )
        found = _read(table, earlier)
        if found.height:
            break
    return found


def told(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """Rows with the names that their records have; what is Kafka's own is left out."""
    return rows.select(pl.col(c.name).alias(c.json) for c in spec.columns if c.json)


def texts(rows: pl.DataFrame) -> pl.DataFrame:
    """The instants of `told` as the contract writes them."""
    written = [
        pl.when(pl.col(name).dt.microsecond() % 1000 == 0)
        .then(pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"))
        .otherwise(pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S%.6f"))
        .alias(name)
        for name, dtype in rows.schema.items()
        if dtype == INSTANT
    ]
    return rows.with_columns(written)
