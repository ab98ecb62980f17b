"""12,477 real trades through Flink equal another program's bars, volume included."""

from pathlib import Path

import polars as pl
import pytest

from tests.flink.flinks import Flink
from tests.support.pipeline import Pipeline
from tests.support.real_ticks import disturbed, real_ticks
from tests.support.real_trades import (
    ALL_CRYPTO_BARS,
    crypto_trades,
    equal_crypto_bars,
    exact,
    expected_candles,
    needs_real_trades,
)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
FOUR_MINUTES_US = 240_000_000


@needs_real_trades
def test_candles_equal_the_crypto_bars(bootstrap: str, tmp_path: Path) -> None:
    """The quotes that come in between are not applicable, and change nothing."""
    pipeline = Pipeline(bootstrap)
    trades = crypto_trades()
    quotes = (
        real_ticks().head(5_000).with_columns(source=pl.lit("BINANCE"), symbol=pl.lit("XRPETH"))
    )
    sent = disturbed(trades, FOUR_MINUTES_US, 0.1, seed=1)
    pipeline.send_frame(sent.head(6_000))
    pipeline.send_frame(quotes)
    pipeline.send_frame(sent.slice(6_000))
    flink = Flink(pipeline, tmp_path / "home")
    flink.run_to_end("--price", "trade")
    candles = flink.pipeline.candles()
    assert equal_crypto_bars(candles) == ALL_CRYPTO_BARS
    assert exact(candles).equals(expected_candles(trades))
