"""Quotes as a random walk for each series, made by columns. Pure: numbers in, numbers out.

A walk runs in whole points, the last decimal of its instrument, so a price is always the exact
double of a short decimal; between two walls it goes on for ever and never reaches zero.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

import polars as pl

from homma.feed.instruments import Instrument

# A tick moves a price by far less than a point when ticks are many.
_FINE: Final = 1_000_000
_YEAR_S: Final = 365 * 86_400
# The walls, as shares of the level.
_LOWEST, _HIGHEST = 0.5, 2.0


class Walks:
    """The walks of all series, and what turns their points into prices.

    `apart_s` is the mean time between two quotes of one series: it scales the steps, so that a
    year's volatility is the instrument's whatever the rate.
    """

    def __init__(
        self, sources: Sequence[str], instruments: Sequence[Instrument], apart_s: float, rng: Random
    ) -> None:
        self._rng = rng
        series = [(source, kin) for source in sources for kin in instruments]
        kins = [kin for _, kin in series]
        levels = [max(2, round(kin.level * 10**kin.decimals)) for kin in kins]
        low = [max(1, round(level * _LOWEST)) for level in levels]
        year = (apart_s / _YEAR_S) ** 0.5
        steps = [lv * kin.volatility * year for lv, kin in zip(levels, kins, strict=True)]
        self._at = pl.Series(
            [(lv - lo) * _FINE for lv, lo in zip(levels, low, strict=True)], dtype=pl.Int64
        )
        self._table = pl.DataFrame(
            {
                "source": [source for source, _ in series],
                "symbol": [kin.symbol for kin in kins],
                "scale": [float(10**kin.decimals) for kin in kins],
                "step": [step * _FINE for step in steps],
                "low": low,
                "width": [
                    max(1, round(lv * _HIGHEST) - lo) for lv, lo in zip(levels, low, strict=True)
                ],
                "spread": [kin.spread for kin in kins],
            },
            schema_overrides={"low": pl.Int64, "width": pl.Int64, "spread": pl.Int64},
        )

    def uniform(self, count: int) -> pl.Series:
        """So many numbers from 0 up to, and without, 1."""
        draw = self._rng.random
        return pl.Series([draw() for _ in range(count)], dtype=pl.Float64)

    def move(self, count: int) -> pl.DataFrame:
        """The next quotes: series (its index), bid and spread, both in points."""
        which = (self.uniform(count) * self._table.height).cast(pl.UInt32)
        # Two uniforms make a triangle; the factor gives it a standard deviation of 1.
        shock = (self.uniform(count) + self.uniform(count) - 1) * 6**0.5
        drawn = pl.DataFrame(
            {
                "series": which,
                "moved": (shock * self._table["step"].gather(which)).round().cast(pl.Int64),
                "begun": self._at.gather(which),
                "low": self._table["low"].gather(which),
                "width": self._table["width"].gather(which),
                "spread": self._table["spread"].gather(which),
                "wider": self.uniform(count),
            }
        )
        walked = drawn.with_columns(at=pl.col("begun") + pl.col("moved").cum_sum().over("series"))
        last = walked.group_by("series").agg(pl.col("at").last())
        self._at = self._at.scatter(last["series"], last["at"])
        # Folded at the walls, like light between two mirrors.
        unfolded = (pl.col("at") // _FINE) % (2 * pl.col("width"))
        folded = pl.col("width") - (unfolded - pl.col("width")).abs()
        return walked.select(
            "series",
            bid=pl.col("low") + folded,
            # Often the least, seldom the double.
            spread=pl.col("spread")
            + (pl.col("wider") ** 3 * (pl.col("spread") + 1)).cast(pl.Int64),
        )

    def prices(self, quotes: pl.DataFrame) -> pl.DataFrame:
        """source, symbol, ask, bid and mid of quotes in points, as the nearest doubles."""
        which = quotes["series"]
        scale = self._table["scale"].gather(which)
        bid, spread = quotes["bid"], quotes["spread"]
        return pl.DataFrame(
            {
                "source": self._table["source"].gather(which),
                "symbol": self._table["symbol"].gather(which),
                "ask": (bid + spread) / scale,
                "bid": bid / scale,
                # Of whole numbers, one division and one rounding: at most one decimal more.
                "mid": (bid * 2 + spread) / (scale * 2),
            }
        )
