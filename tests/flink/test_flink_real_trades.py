"""Real trades through Flink give other programs' bars, volume included."""

from pathlib import Path

import pytest

from tests.flink.flinks import Flink
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

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]


@needs_real_trades
def test_candles_equal_the_crypto_bars(bootstrap: str, tmp_path: Path) -> None:
    """The quotes that come in between are not applicable, and change nothing."""
    pipeline = Pipeline(bootstrap)
    send_crypto_trades(pipeline)
    flink = Flink(pipeline, tmp_path / "home")
    flink.run_to_end("--price", "trade")
    candles = flink.pipeline.candles()
    assert equal_crypto_bars(candles) == ALL_CRYPTO_BARS
    assert exact(candles).equals(expected_candles(crypto_trades()))


@needs_real_trades
def test_candles_equal_the_equity_bars(bootstrap: str, tmp_path: Path) -> None:
    """The trades come shuffled, and some of them twice."""
    pipeline = Pipeline(bootstrap)
    trades = equity_trades()
    pipeline.send_frame(disturbed(trades, FOUR_MINUTES_US, 0.01, seed=2))
    flink = Flink(pipeline, tmp_path / "home")
    flink.run_to_end("--price", "trade")
    candles = flink.pipeline.candles()
    assert equal_equity_volumes(candles) == EQUAL_EQUITY_VOLUMES
    assert exact(candles).equals(expected_candles(trades))
