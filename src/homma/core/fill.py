"""Carries the last close forward through intervals without ticks, for readers who ask. Pure."""

from typing import Final

import polars as pl

from homma.core.fields import VALUE_FIELDS, CandleField
from homma.core.interval import DAY_US, Interval
from homma.core.series import NAMES

# No interval of variable length is shorter than this.
_SHORTEST_MONTH_US: Final = 28 * DAY_US


def fill_previous(
    candles: pl.DataFrame, interval: Interval, until_us: int | None = None
) -> pl.DataFrame:
    """Candles of one interval, with a candle of volume 0 for each interval without ticks.

    Columns NAMES, start_us, close and any of VALUES. In an added candle, prices are the previous
    close, counts are 0, and any other column is null. A series starts with its first candle and
    ends with its last one, or with the last candle that starts before `until_us` if that is later.
    Sorted by series and start.
    """
    if candles.is_empty():
        return candles
    step_us = min(interval.longest_us, _SHORTEST_MONTH_US)
    last = pl.col("start_us").max()
    end = last if until_us is None else pl.max_horizontal(last, pl.lit(until_us - 1, pl.Int64))
    grid = (
        candles.group_by(NAMES)
        .agg(start_us=pl.col("start_us").min(), end_us=end)
        # A step may be shorter than a month, so no step skips a month.
        .with_columns(start_us=pl.int_ranges("start_us", pl.col("end_us") + step_us, step_us))
        .explode("start_us")
        .filter(interval.floor(pl.col("start_us")) <= pl.col("end_us"))
        .select(*NAMES, interval.floor(pl.col("start_us")))
        .unique()
    )
    previous = pl.col("close").forward_fill().over(NAMES)
    return (
        grid.join(candles, on=(*NAMES, "start_us"), how="left")
        .sort(*NAMES, "start_us")
        .with_columns(
            _filled(field, previous)
            for field in VALUE_FIELDS
            if field.of_tick and field.column in candles.columns
        )
        .select(candles.columns)
    )


def _filled(field: CandleField, previous_close: pl.Expr) -> pl.Expr:
    """A field with its value in candles without ticks."""
    column = pl.col(field.column)
    if field.of_tick == "price":
        return column.fill_null(previous_close)
    if field.of == "trade":
        # Candles of quotes have no such sums.
        is_of_trades = column.forward_fill().over(NAMES).is_not_null()
        return pl.when(is_of_trades).then(column.fill_null(0))
    return column.fill_null(0)
