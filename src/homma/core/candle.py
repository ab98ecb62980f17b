"""A candle as a mergeable value.

A frame of candles has these columns:

    series      u32   code of the (source, symbol), see `core/series.py`
    interval    u8    index in INTERVALS
    start_us    i64   the interval's start, and
    end_us      i64   the start of the one after it
    open, high, low, close   f64
    volume      i64   count of ticks
    open_order_key, close_order_key  i128  the order keys of the ticks that gave open and close

A tick's **order key** is (dateTime, number) in one integer, so that "first" and "last" are the
smallest and largest of a column: ties in dateTime cannot depend on the order of arrival. That
makes `merge` commutative and associative, and a tick is simply a candle of volume one: the one
merge below serves ticks, roll-up, restoring and repair alike. Prices are copied, never computed.
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
_NUMBER_SPAN: Final = 1 << 63
# Codes of series take 32 bits.
_SERIES_SPAN: Final = 1 << 32


def order_key(event_us: pl.Expr, number: pl.Expr) -> pl.Expr:
    """(dateTime, number) as one Int128 that sorts alike."""
    return event_us.cast(pl.Int128) * pl.lit(_NUMBER_SPAN, pl.Int128) + number.cast(pl.Int128)


def order_key_us(at: pl.Expr) -> pl.Expr:
    """The dateTime of an order key, microseconds."""
    return (at // pl.lit(_NUMBER_SPAN, pl.Int128)).cast(pl.Int64)


def order_key_number(at: pl.Expr) -> pl.Expr:
    """The number of an order key."""
    return (at % pl.lit(_NUMBER_SPAN, pl.Int128)).cast(pl.Int64)


#: How two candles of one key become one.
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
    """One candle a key, in no particular order."""
    return candles.group_by(KEY).agg(MERGE).select(CANDLE.names())


def minutes(ticks: pl.DataFrame) -> pl.DataFrame:
    """The 1-minute candles of ticks (columns series, event_us, order_key, price), no tick twice."""
    finest = INTERVALS[FINEST]
    price, at = pl.col("price"), pl.col("order_key")
    start = finest.floor(pl.col("event_us"))
    # What `merge` makes of ticks as candles of volume one, in half the time: by a key of one
    # number, which may overflow but stays unique, and without copying each price four times.
    key = start // MINUTE_US * _SERIES_SPAN + pl.col("series").cast(pl.Int64)
    made = ticks.group_by(key.alias("_key")).agg(
        pl.col("series").first(),
        start.first().alias("start_us"),
        price.min_by("order_key").alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.max_by("order_key").alias("close"),
        pl.len().cast(pl.Int64).alias("volume"),
        at.min().alias("open_order_key"),
        at.max().alias("close_order_key"),
    )
    return made.select(
        "series",
        pl.lit(FINEST, pl.UInt8).alias("interval"),
        "start_us",
        finest.next(pl.col("start_us")).alias("end_us"),
        *CANDLE.names()[4:],
    )


def roll_up(minute_candles: pl.DataFrame) -> pl.DataFrame:
    """The candles of all intervals that 1-minute candles add up to, the minutes included."""
    at, height = pl.col("start_us"), minute_candles.height
    # All starts and ends in one query, then one below the other: live batches have few rows, and
    # what they cost is the number of queries.
    starts = [interval.floor(at) for interval in INTERVALS]
    ends = [i.next(start) for i, start in zip(INTERVALS, starts, strict=True)]
    bounds = minute_candles.select(
        *(start.alias(f"start{code}") for code, start in enumerate(starts)),
        *(end.alias(f"end{code}") for code, end in enumerate(ends)),
    ).get_columns()
    intervals = pl.int_range(len(INTERVALS), dtype=pl.UInt8, eager=True)
    spread = pl.concat([minute_candles] * len(INTERVALS)).with_columns(
        _stacked("start_us", bounds[: len(INTERVALS)]),
        _stacked("end_us", bounds[len(INTERVALS) :]),
        intervals.gather(pl.int_range(len(INTERVALS) * height, eager=True) // height).alias(
            "interval"
        ),
    )
    return merge(spread)


def _stacked(name: str, columns: list[pl.Series]) -> pl.Series:
    return pl.concat([column.alias(name) for column in columns])
