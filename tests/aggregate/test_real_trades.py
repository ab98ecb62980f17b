"""Real trades give other programs' bars, volume included, in any order and after kill -9."""

import polars as pl

from tests.aggregate.killed_engines import kill_engines
from tests.support.pipeline import Pipeline
from tests.support.real_ticks import disturbed, real_ticks
from tests.support.real_trades import (
    ALL_CRYPTO_BARS,
    EQUAL_EQUITY_VOLUMES,
    crypto_trades,
    equal_crypto_bars,
    equal_equity_volumes,
    equity_trades,
    exact,
    expected_candles,
    needs_real_trades,
)

FOUR_MINUTES_US = 240_000_000


@needs_real_trades
def test_candles_equal_the_crypto_bars(bootstrap: str) -> None:
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
    pipeline.work_off(price="trade")
    candles = pipeline.candles()
    assert equal_crypto_bars(candles) == ALL_CRYPTO_BARS
    assert exact(candles).equals(expected_candles(trades))
    assert pipeline.counted("homma_ticks_not_applicable") == quotes.height
    assert pipeline.counted("homma_ticks_duplicate") == sent.height - trades.height
    assert pipeline.counted("homma_ticks_dropped_late") == pipeline.counted("homma_ticks_dead") == 0


@needs_real_trades
def test_five_kills_change_nothing(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    trades = equity_trades()
    sent = disturbed(trades, FOUR_MINUTES_US, 0.01, seed=2)
    pipeline.send_frame(sent)
    kill_engines(pipeline, sent.height, "trade")
    pipeline.work_off(price="trade")
    candles = pipeline.candles()
    assert equal_equity_volumes(candles) == EQUAL_EQUITY_VOLUMES
    assert exact(candles).equals(expected_candles(trades))
