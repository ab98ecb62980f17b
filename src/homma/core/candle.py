"""A candle as a value that can be merged.

A frame of candles has these columns:

    series      u32   code of the (source, symbol), see `core/series.py`
    interval    u8    index in INTERVALS
    start_us    i64   start of the interval
    end_us      i64   start of the next interval
    open, high, low, close   f64
    volume      i64   tick count
    open_order_key, close_order_key  i128  order keys of the ticks that gave open and close

A tick's **order key** is (dateTime, number) in one integer, so "first" and "last" are the minimum
and maximum of a column, and ties in dateTime never depend on the order of arrival. That makes
`merge` commutative and associative. A tick is a candle of volume 1, so the same merge serves
ticks, roll-ups, restores and repairs. Prices are copied, never computed.
"""

from typing import Final

import polars as pl

from homma.core.interval import FINEST, INTERVALS, MINUTE_US

KEY: Final = ("series", "interval", "start_us")
CANDLE: Final = pl.Schema(
    {
        "series": pl.UInt32,
        "interval": pl.UInt8,
        "start_us": pl.Int64,
        "end_us": pl.Int64,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Int64,
        "open_order_key": pl.Int128,
        "close_order_key": pl.Int128,
    }
)

# `number` takes the lower 63 bits: it is never negative.
_NUMBER_RANGE: Final = 1 << 63
# Series codes take 32 bits.
_SERIES_RANGE: Final = 1 << 32


def order_key(event_us: pl.Expr, number: pl.Expr) -> pl.Expr:
    """(dateTime, number) as one Int128 with the same sort order."""
    return event_us.cast(pl.Int128) * pl.lit(_NUMBER_RANGE, pl.Int128) + number.cast(pl.Int128)


def order_key_us(key: pl.Expr) -> pl.Expr:
    """The dateTime of an order key, in microseconds."""
    return (key // pl.lit(_NUMBER_RANGE, pl.Int128)).cast(pl.Int64)


def order_key_number(key: pl.Expr) -> pl.Expr:
    """The number of an order key."""
    return (key % pl.lit(_NUMBER_RANGE, pl.Int128)).cast(pl.Int64)


#: How candles with the same key become one.
MERGE: Final = (
    pl.col("end_us").first(),
    pl.col("open").min_by("open_order_key"),
    pl.col("high").max(),
    pl.col("low").min(),
    pl.col("close").max_by("close_order_key"),
    pl.col("volume").sum(),
    pl.col("open_order_key").min(),
    pl.col("close_order_key").max(),
)


def merge(candles: pl.DataFrame) -> pl.DataFrame:
    """One candle per key, in no particular order."""
    return candles.group_by(KEY).agg(MERGE).select(CANDLE.names())


def minute_candles(ticks: pl.DataFrame) -> pl.DataFrame:
    """The 1-minute candles of ticks (columns series, event_us, order_key, price).

    The ticks must contain no duplicates.
    """
    minute = INTERVALS[FINEST]
    price, order_key = pl.col("price"), pl.col("order_key")
    start = minute.floor(pl.col("event_us"))
    # The same result as `merge` of one candle per tick, in half the time: the key is one number,
    # which may overflow but stays unique, and prices are not copied four times.
    key = start // MINUTE_US * _SERIES_RANGE + pl.col("series").cast(pl.Int64)
    candles = ticks.group_by(key.alias("_key")).agg(
        pl.col("series").first(),
        start.first().alias("start_us"),
        price.min_by("order_key").alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.max_by("order_key").alias("close"),
        pl.len().cast(pl.Int64).alias("volume"),
        order_key.min().alias("open_order_key"),
        order_key.max().alias("close_order_key"),
    )
    return candles.select(
        "series",
        pl.lit(FINEST, pl.UInt8).alias("interval"),
        "start_us",
        minute.next(pl.col("start_us")).alias("end_us"),
        *CANDLE.names()[4:],
    )


def roll_up(minutes: pl.DataFrame) -> pl.DataFrame:
    """The candles of all intervals, the minutes included, from 1-minute candles."""
    start_us, height = pl.col("start_us"), minutes.height
    # All starts and ends in one query, then stacked: live batches have few rows, and their cost
    # is the number of queries.
    starts = [interval.floor(start_us) for interval in INTERVALS]
    ends = [i.next(start) for i, start in zip(INTERVALS, starts, strict=True)]
    bounds = minutes.select(
        *(start.alias(f"start{code}") for code, start in enumerate(starts)),
        *(end.alias(f"end{code}") for code, end in enumerate(ends)),
    ).get_columns()
    intervals = pl.int_range(len(INTERVALS), dtype=pl.UInt8, eager=True)
    repeated = pl.concat([minutes] * len(INTERVALS)).with_columns(
        _stack("start_us", bounds[: len(INTERVALS)]),
        _stack("end_us", bounds[len(INTERVALS) :]),
        intervals.gather(pl.int_range(len(INTERVALS) * height, eager=True) // height).alias(
            "interval"
        ),
    )
    return merge(repeated)


def _stack(name: str, columns: list[pl.Series]) -> pl.Series:
    return pl.concat([column.alias(name) for column in columns])
