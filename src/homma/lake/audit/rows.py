"""Converts rows of a candle table to candles of `homma.core`. Pure."""

from typing import Final

import polars as pl

from homma.core.candle import order_key
from homma.core.fields import TRADED
from homma.core.interval import CODE, Interval
from homma.core.recompute import RECORDED, RecordedCandles
from homma.lake.schema import CANDLE_COLUMNS

#: The columns that ticks determine, and the candle's state.
COLUMNS: Final = tuple(c.name for c in CANDLE_COLUMNS if c.name != "update_date_time")


def candles(rows: pl.DataFrame, interval: Interval) -> RecordedCandles:
    """Candles from rows with COLUMNS."""
    start = pl.col("date_time").dt.epoch("us")
    return rows.with_columns(
        interval=pl.lit(interval.code, CODE),
        start_us=start,
        end_us=interval.next(start),
        open_order_key=order_key(pl.col("open_date_time").dt.epoch("us"), pl.col("open_number")),
        close_order_key=order_key(pl.col("close_date_time").dt.epoch("us"), pl.col("close_number")),
        **{field.column: pl.col(field.column).fill_null(0) for field in TRADED},
    ).select(RECORDED.names())
