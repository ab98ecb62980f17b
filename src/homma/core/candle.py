"""A candle as a value that can be merged.

A candle has these columns:

    series      u32   code of the (source, symbol), see `core/series.py`
    interval    enum  the interval's code
    start_us    i64   start of the interval
    end_us      i64   start of the next interval
    open, high, low, close, volume, …  the fields with a merge in `core/fields.py`; `volume` is the
                number of ticks, `traded_volume` the size of trades, 0 in candles of quotes
    open_order_key, close_order_key  i128  order keys of the ticks that gave open and close

A tick's **order key** is (dateTime, number) in one integer, so "first" and "last" are the minimum
and maximum of a column, and ties in dateTime never depend on the order of arrival. That makes
`merge` commutative and associative. A tick is a candle too, so the same merge serves
ticks, roll-ups, restores and repairs. Prices are copied, never computed, and sums are exact.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import polars as pl

from homma.core.decimals import DECIMAL
from homma.core.fields import VALUE_FIELDS, VALUES
from homma.core.interval import CODE, Interval
from homma.core.merging import merged, of_ticks

KEY: Final = ("series", "interval", "start_us")
CANDLE: Final = pl.Schema(
    [
        ("series", pl.UInt32()),
        ("interval", CODE),
        ("start_us", pl.Int64()),
        ("end_us", pl.Int64()),
        *((field.column, field.dtype) for field in VALUE_FIELDS),
        ("open_order_key", pl.Int128()),
        ("close_order_key", pl.Int128()),
    ]
)
#: Candles of a partition, the series by code; `merge` makes those with one key into one.
Candles: TypeAlias = pl.DataFrame
#: Candles of a calendar's base, from which all others are built.
BaseCandles: TypeAlias = pl.DataFrame

KEYED_TICK: Final = pl.Schema(
    {
        "series": pl.UInt32(),
        "event_us": pl.Int64(),
        "order_key": pl.Int128(),
        "price": pl.Float64(),
        "traded_volume": DECIMAL,
        "turnover": DECIMAL,
    }
)
#: Ticks that count, without duplicates, the series by code.
KeyedTicks: TypeAlias = pl.DataFrame

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
    *(merged(field) for field in VALUE_FIELDS),
    pl.col("open_order_key").min(),
    pl.col("close_order_key").max(),
)


def merge(candles: Candles) -> Candles:
    """One candle per key, in no particular order."""
    return candles.group_by(KEY).agg(MERGE).select(CANDLE.names())


def base_candles(ticks: KeyedTicks, base: Interval) -> BaseCandles:
    """The candles of a calendar's base from ticks."""
    order_key = pl.col("order_key")
    start = base.floor(pl.col("event_us"))
    # The same result as `merge` of one candle per tick, in half the time: the key is one number,
    # which may overflow but stays unique, and prices are not copied four times.
    key = start // base.longest_us * _SERIES_RANGE + pl.col("series").cast(pl.Int64)
    candles = ticks.group_by(key.alias("_key")).agg(
        pl.col("series").first(),
        start.first().alias("start_us"),
        *(of_ticks(field) for field in VALUE_FIELDS),
        order_key.min().alias("open_order_key"),
        order_key.max().alias("close_order_key"),
    )
    return candles.select(
        "series",
        pl.lit(base.code, CODE).alias("interval"),
        "start_us",
        base.next(pl.col("start_us")).alias("end_us"),
        *VALUES,
        "open_order_key",
        "close_order_key",
    )


def roll_up(base: BaseCandles, intervals: Sequence[Interval]) -> Candles:
    """The candles of these intervals, from candles of a base that divides all of them."""
    start_us, height = pl.col("start_us"), base.height
    # All starts and ends in one query, then stacked: live batches have few rows, and their cost
    # is the number of queries.
    starts = [interval.floor(start_us) for interval in intervals]
    ends = [i.next(start) for i, start in zip(intervals, starts, strict=True)]
    bounds = base.select(
        *(start.alias(f"start {i.code}") for i, start in zip(intervals, starts, strict=True)),
        *(end.alias(f"end {i.code}") for i, end in zip(intervals, ends, strict=True)),
    ).get_columns()
    codes = pl.Series([interval.code for interval in intervals], dtype=CODE)
    repeated = pl.concat([base] * len(intervals)).with_columns(
        _stack("start_us", bounds[: len(intervals)]),
        _stack("end_us", bounds[len(intervals) :]),
        codes.gather(pl.int_range(len(intervals) * height, eager=True) // height).alias("interval"),
    )
    return merge(repeated)


def _stack(name: str, columns: list[pl.Series]) -> pl.Series:
    return pl.concat([column.alias(name) for column in columns])
