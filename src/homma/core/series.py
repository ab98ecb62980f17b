"""The series of a partition, each with a code and its clocks.

A series has these columns, and its row number is its code:

    source, symbol  str
    max_event_us  i64   the largest event time seen
    last_read_us  i64   the partition clock when the series' newest tick was read
    floor_us      i64   older ticks are dropped as late in any case (see `Window.raise_floor`)
"""

from typing import Final, TypeAlias

import polars as pl

NAMES: Final = ("source", "symbol")
SERIES: Final = pl.Schema(
    {
        "source": pl.String,
        "symbol": pl.String,
        "max_event_us": pl.Int64,
        "last_read_us": pl.Int64,
        "floor_us": pl.Int64,
    }
)
#: The series of a partition with their clocks, in the order of their codes.
SeriesClocks: TypeAlias = pl.DataFrame
# Event times start in 1970, so every instant is later than this.
BEFORE_ALL_US: Final = -(1 << 62)


def register(series: SeriesClocks, rows: pl.DataFrame) -> tuple[SeriesClocks, pl.DataFrame]:
    """The series with the new ones of `rows` (columns source, symbol), and `rows` encoded.

    Existing codes do not change.
    """
    coded = encode(series, rows)
    if not coded["series"].has_nulls():
        return series, coded
    new = coded.filter(pl.col("series").is_null()).select(NAMES).unique(maintain_order=True)
    added = new.with_columns(
        max_event_us=pl.lit(BEFORE_ALL_US),
        last_read_us=pl.lit(BEFORE_ALL_US),
        floor_us=pl.lit(BEFORE_ALL_US),
    )
    registered = pl.concat([series, added.cast(SERIES)])
    return registered, encode(registered, rows)


def encode(series: SeriesClocks, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` (columns source, symbol) in order, with the column `series`: null if it is unknown."""
    codes = series.select(NAMES).with_row_index("series")
    return rows.join(codes, on=NAMES, how="left", maintain_order="left")


def decode(series: SeriesClocks, coded: pl.DataFrame) -> pl.DataFrame:
    """`coded` (column series) with the columns source and symbol added."""
    return coded.with_columns(
        series["source"].gather(coded["series"]), series["symbol"].gather(coded["series"])
    )


def advance(series: SeriesClocks, newer: pl.DataFrame) -> SeriesClocks:
    """The series with clocks advanced to `newer` (series, max_event_us, last_read_us).

    No clock goes back. `newer` has each series only once.
    """
    codes = newer["series"]
    old = series.select("max_event_us", "last_read_us")[codes]
    new = newer.select(pl.max_horizontal(name, old[name].alias("old")) for name in old.columns)
    # A clone is copied before it is written to.
    advanced = [series[name].clone().scatter(codes, new[name]) for name in old.columns]
    return series.with_columns(advanced)
