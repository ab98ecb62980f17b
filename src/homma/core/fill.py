"""The last close carried forward through intervals without a tick: a choice of the reader. Pure."""

from typing import Final

import polars as pl

from homma.core.interval import DAY_US, INTERVALS
from homma.core.series import NAMES

# No interval that has no fixed length is shorter.
_SHORTEST_MONTH_US: Final = 28 * DAY_US


def fill_previous(
    candles: pl.DataFrame, interval: int, until_us: int | None = None
) -> pl.DataFrame:
    """Candles of one interval, with one of volume 0 wherever a series has none after its first.

    Columns NAMES, start_us, open, high, low, close, volume, and others, which are null where
    nothing was. Each series ends with its last candle, or with the last to start before `until_us`.
    Comes back by series and start.
    """
    if candles.is_empty():
        return candles
    shape = INTERVALS[interval]
    step_us = min(shape.longest_us, _SHORTEST_MONTH_US)
    last = pl.col("start_us").max()
    end = last if until_us is None else pl.max_horizontal(last, pl.lit(until_us - 1, pl.Int64))
    grid = (
        candles.group_by(NAMES)
        .agg(start_us=pl.col("start_us").min(), end_us=end)
        # A step may be shorter than a month, but none steps over one.
        .with_columns(start_us=pl.int_ranges("start_us", pl.col("end_us") + step_us, step_us))
        .explode("start_us")
        .filter(shape.floor(pl.col("start_us")) <= pl.col("end_us"))
        .select(*NAMES, shape.floor(pl.col("start_us")))
        .unique()
    )
    previous = pl.col("close").forward_fill().over(NAMES)
    return (
        grid.join(candles, on=(*NAMES, "start_us"), how="left")
        .sort(*NAMES, "start_us")
        .with_columns(
            *(pl.col(name).fill_null(previous) for name in ("open", "high", "low", "close")),
            volume=pl.col("volume").fill_null(0),
        )
        .select(candles.columns)
    )
