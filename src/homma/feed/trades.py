"""Synthetic trades: each takes place at the ask or the bid of a quote. Pure."""

from typing import Final, TypeAlias

import polars as pl

from homma.core.decimals import DECIMAL, FRACTION_DIGITS
from homma.feed.instruments import Instrument
from homma.feed.instruments import Kind as InstrumentKind

TRADE: Final = pl.Schema({"price": pl.Float64(), "size": DECIMAL, "side": pl.String()})
#: The fields that only trades have.
TradeFields: TypeAlias = pl.DataFrame

#: The share of trades among quotes and trades.
TRADE_SHARE: Final = 0.3
#: By kind of instrument: the fractional digits of a size, and the usual size or value.
_DIGITS: Final[dict[InstrumentKind, int]] = {"crypto": 6, "fx": 0, "share": 0}
_FX_SIZE: Final = 100_000
_SHARE_SIZE: Final = 100
_CRYPTO_VALUE: Final = 1_500.0
# Most trades are small and a few are large: the largest is this multiple of the usual size.
_LARGEST: Final = 8


def usual_units(instrument: Instrument) -> int:
    """The usual size of a trade, in the last digit of the instrument's sizes."""
    sizes = {
        "crypto": _CRYPTO_VALUE / instrument.level,
        "fx": float(_FX_SIZE),
        "share": float(_SHARE_SIZE),
    }
    return max(1, round(sizes[instrument.kind] * 10.0 ** _DIGITS[instrument.kind]))


def unit(instrument: Instrument) -> int:
    """The number of 10^-12 in the last digit of the instrument's sizes."""
    return int(10 ** (FRACTION_DIGITS - _DIGITS[instrument.kind]))


def trades(quotes: pl.DataFrame, draws: pl.DataFrame) -> TradeFields:
    """The trades at quotes (columns ask, bid, usual, unit), one each.

    `draws` has random numbers in [0, 1) for the side and the size.
    """
    is_buy = pl.col("side_draw") < 0.5
    units = 1 + (pl.col("size_draw") ** 3 * pl.col("usual") * _LARGEST).cast(pl.Int64)
    scaled = units.cast(pl.Int128) * pl.col("unit").cast(pl.Int128)
    return (
        quotes.select("ask", "bid", "usual", "unit")
        .hstack(draws.select(side_draw="side", size_draw="size"))
        .select(
            price=pl.when(is_buy).then("ask").otherwise("bid"),
            size=scaled.reinterpret(dtype=DECIMAL),
            side=pl.when(is_buy).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        )
    )
