"""Keeps the sums of trades within the range of decimals. Pure.

A tick that would take a sum of one of its candles to `decimals.BOUND` is refused. A cheap estimate
over all candles shows nearly always that no tick does.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from homma.core import candle
from homma.core.candle import Candles, KeyedTicks
from homma.core.decimals import BOUND
from homma.core.interval import Interval
from homma.errors import StateError

#: The fields that add up over trades.
SUMS: Final = ("traded_volume", "turnover")
BEYOND: Final = "size: it takes the volume or the turnover of a candle to 10^26 or more"
_BOUND_UNITS: Final = int(BOUND.scaleb(12))
# An estimate in doubles leaves room for its rounding.
_SURE: Final = float(BOUND) / 2


def may_exceed(candles: Candles, added: Sequence[pl.DataFrame]) -> bool:
    """Whether a sum of `candles` may reach the bound with the ticks or candles that are added."""
    estimates = [
        sum(
            (_magnitudes(frame, name).sum() for frame in added),
            _magnitudes(candles, name).max().fill_null(0),
        )
        for name in SUMS
    ]
    return float(pl.select(pl.max_horizontal(estimates)).item()) >= _SURE


def _magnitudes(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.lit(frame[name]).cast(pl.Float64).abs()


def first_beyond(candles: Candles, ticks: KeyedTicks, intervals: Sequence[Interval]) -> int | None:
    """The index of the first tick with which a sum reaches the bound, in the order of the ticks.

    `candles` have all earlier ticks; several may have the same key.
    """
    totals: dict[tuple[object, ...], tuple[int, int]] = {}
    for *key, volume, turnover in candles.select(*candle.KEY, *_units()).iter_rows():
        before = totals.get(tuple(key), (0, 0))
        totals[tuple(key)] = (before[0] + volume, before[1] + turnover)
    starts = ticks.select(
        interval.floor(pl.col("event_us")).alias(interval.code) for interval in intervals
    )
    rows = ticks.select("series", *_units()).iter_rows()
    for index, (row, start) in enumerate(zip(rows, starts.iter_rows(named=True), strict=True)):
        series, volume, turnover = row
        for code, start_us in start.items():
            before = totals.get((series, code, start_us), (0, 0))
            sums = (before[0] + volume, before[1] + turnover)
            if max(map(abs, sums)) >= _BOUND_UNITS:
                return index
            totals[series, code, start_us] = sums
    return None


def _units() -> list[pl.Expr]:
    """The sums as integers, because Python rounds decimals."""
    return [pl.col(name).to_physical() for name in SUMS]


def require_below_bound(candles: Candles, added: Sequence[pl.DataFrame]) -> None:
    """Raise StateError if a sum of `candles` may reach the bound with what is added."""
    if may_exceed(candles, added):
        raise StateError(
            "trades of the lake have sizes whose volume or turnover may add up to 10^26, beyond "
            "which sums are not exact",
            "delete the ticks with wrong sizes from the tick table",
        )
