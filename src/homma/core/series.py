"""The series of a partition, each with a code and with what its clocks say.

A frame of series has a row a series, and the row's number is the series' code:

    source, symbol  str
    clock_us  i64   the event clock: the largest dateTime the series has shown
    seen_us   i64   the partition's clock when its newest tick was read
    floor_us  i64   ticks before it are too late whatever the clock says (see `Window.adopt`)
"""

from typing import Final

import polars as pl

NAMES: Final = ("source", "symbol")
SERIES: Final = pl.Schema(
    {
        "source": pl.String,
        "symbol": pl.String,
        "clock_us": pl.Int64,
        "seen_us": pl.Int64,
        "floor_us": pl.Int64,
    }
)
# Instants start at 1970, so nothing is older than this.
BEFORE_ALL_US: Final = -(1 << 62)


def register(series: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The series with those of `rows` (columns source, symbol) that are new, and `rows` encoded.

    Codes that are there do not change.
    """
    coded = encode(series, rows)
    if not coded["series"].has_nulls():
        return series, coded
    new = coded.filter(pl.col("series").is_null()).select(NAMES).unique(maintain_order=True)
    unseen = new.with_columns(
        clock_us=pl.lit(BEFORE_ALL_US),
        seen_us=pl.lit(BEFORE_ALL_US),
        floor_us=pl.lit(BEFORE_ALL_US),
    )
    enrolled = pl.concat([series, unseen.cast(SERIES)])
    return enrolled, encode(enrolled, rows)


def encode(series: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the column `series`, in their order; null where the series is unknown."""
    codes = series.select(NAMES).with_row_index("series")
    return rows.join(codes, on=NAMES, how="left", maintain_order="left")


def names(series: pl.DataFrame, coded: pl.DataFrame) -> pl.DataFrame:
    """`coded` (column series) with the columns source and symbol."""
    return coded.with_columns(
        series["source"].gather(coded["series"]), series["symbol"].gather(coded["series"])
    )


def advance(series: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """The series with clocks moved on by `seen` (series, clock_us, seen_us), never back.

    `seen` has each series once.
    """
    codes = seen["series"]
    old = series.select("clock_us", "seen_us")[codes]
    new = seen.select(pl.max_horizontal(name, old[name].alias("old")) for name in old.columns)
    # A clone is copied before it is written to.
    moved = [series[name].clone().scatter(codes, new[name]) for name in old.columns]
    return series.with_columns(moved)
