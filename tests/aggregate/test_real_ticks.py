"""1.1 million real quotes give another vendor's bars, even after kill -9."""

import pytest

from tests.aggregate.killed_engines import kill_engines
from tests.support.pipeline import Pipeline, batch_candles, same_candles
from tests.support.real_ticks import ALL_BARS, disturbed, equal_bars, needs_real_ticks, real_ticks

FOUR_MINUTES_US = 240_000_000


@needs_real_ticks
@pytest.mark.parametrize("price", ["bid", "ask"])
def test_candles_equal_the_vendors_bars(bootstrap: str, price: str) -> None:
    pipeline = Pipeline(bootstrap)
    ticks = real_ticks()
    sent = disturbed(ticks, FOUR_MINUTES_US, 0.01, seed=1)
    pipeline.send_frame(sent)
    pipeline.work_off(price=price)
    candles = pipeline.candles()
    assert equal_bars(candles, price) == ALL_BARS
    same_candles(candles, batch_candles(ticks, price))
    assert pipeline.counted("homma_ticks_duplicate") == sent.height - ticks.height
    assert pipeline.counted("homma_ticks_dropped_late") == pipeline.counted("homma_ticks_dead") == 0


@needs_real_ticks
def test_five_kills_change_nothing(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    ticks = real_ticks()
    sent = disturbed(ticks, FOUR_MINUTES_US, 0.01, seed=2)
    pipeline.send_frame(sent)
    kill_engines(pipeline, sent.height, "bid")
    pipeline.work_off(price="bid")
    candles = pipeline.candles()
    assert equal_bars(candles, "bid") == ALL_BARS
    same_candles(candles, batch_candles(ticks, "bid"))
