"""Real trades give other programs' bars, volume included, in any order and after kill -9."""

from tests.aggregate.killed_engines import kill_engines
from tests.support.pipeline import Pipeline
from tests.support.real_ticks import disturbed
from tests.support.real_trades import (
    ALL_CRYPTO_BARS,
    EQUAL_EQUITY_VOLUMES,
    FOUR_MINUTES_US,
    crypto_trades,
    equal_crypto_bars,
    equal_equity_volumes,
    equity_trades,
    exact,
    expected_candles,
    needs_real_trades,
    send_crypto_trades,
)


@needs_real_trades
def test_candles_equal_the_crypto_bars(bootstrap: str) -> None:
    """The quotes that come in between are not applicable, and change nothing."""
    pipeline = Pipeline(bootstrap)
    copies, quotes = send_crypto_trades(pipeline)
    pipeline.work_off(price="trade")
    candles = pipeline.candles()
    assert equal_crypto_bars(candles) == ALL_CRYPTO_BARS
    assert exact(candles).equals(expected_candles(crypto_trades()))
    assert pipeline.counted("homma_ticks_not_applicable") == quotes
    assert pipeline.counted("homma_ticks_duplicate") == copies
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
