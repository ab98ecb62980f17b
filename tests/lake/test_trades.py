"""Trades in the lake: exact in the tables, and the same by backfill and after a repair."""

import time
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from homma.core.finality import FinalityRules
from homma.core.interval import BY_CODE, CODE
from homma.errors import FeedError, StateError
from homma.feed.recorded import ColumnMapping
from homma.lake.audit.repair import repair
from homma.lake.audit.verify import Scope
from tests.lake.loading import backfill
from tests.support.landing import counts, engine_of, forge, lake_of, tamper, verified
from tests.support.pipeline import KEY, Pipeline, tick
from tests.support.real_ticks import FOLDER, disturbed, real_ticks
from tests.support.real_trades import (
    ALL_CRYPTO_BARS,
    CRYPTO,
    EQUAL_EQUITY_VOLUMES,
    EQUITY,
    FOUR_MINUTES_US,
    crypto_trades,
    equal_crypto_bars,
    equal_equity_volumes,
    equity_trades,
    exact,
    expected_candles,
    needs_real_trades,
)
from tests.support.sinks import Sinks

NEGATIVE = FOLDER / "cases" / "k06_negative.csv"
#: The last digit of a decimal.
DIGIT = pl.lit(Decimal("1e-12"))


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap), lake, namespace, tmp_path)


def landed(sinks: Sinks) -> pl.DataFrame:
    """The rows of all candle tables with the columns of core's frames."""
    rows = pl.concat(
        sinks.rows(f"candle_{BY_CODE[code].name}_iceberg").with_columns(interval=pl.lit(code, CODE))
        for code in sinks.pipeline.calendar.codes
    )
    return rows.with_columns(start_us=pl.col("date_time").dt.epoch("us"))


def run_repair(sinks: Sinks) -> int:
    """Repair everything; the number of candles published."""
    with lake_of(sinks) as lake, engine_of(sinks) as engine:
        scope, now_us = Scope(engine.topics.calendar, price="trade"), time.time_ns() // 1000
        report = repair(lake, engine, scope, FinalityRules(), lambda: now_us)
        return sum(report.published.values())


@needs_real_trades
def test_live_trades_are_landed_verified_and_repaired(sinks: Sinks) -> None:
    pipeline, trades = sinks.pipeline, crypto_trades()
    series = {"source": pl.lit("BINANCE"), "symbol": pl.lit("XRPETH")}
    quotes = real_ticks().head(1_000).with_columns(**series)
    pipeline.send_frame(disturbed(trades, FOUR_MINUTES_US, 0.1, seed=3))
    pipeline.send_frame(quotes)
    pipeline.work_off(price="trade")
    sinks.work_off()
    candles = landed(sinks)
    assert equal_crypto_bars(candles) == ALL_CRYPTO_BARS
    expected = expected_candles(trades)
    assert exact(candles).equals(expected)
    assert candles["volume"].to_list() == candles["tick_count"].to_list()
    # Ticks that do not apply are in the lake, too.
    ticks = sinks.rows("stock_ticks_iceberg")
    assert ticks.filter(pl.col("mid").is_not_null()).height == quotes.height
    assert ticks.filter(pl.col("price").is_not_null())["side"].null_count() == 0
    all_equal = {"equal": expected.height}
    assert counts(verified(sinks, price="trade")) == (all_equal, all_equal)

    # The last digit of a sum is compared, and repaired.
    topic = pipeline.candles()
    wrong = topic.filter(pl.col("interval") == "h1").head(3)
    forge(sinks, wrong.with_columns(turnover=pl.col("turnover") + DIGIT), wrong.clear())
    sinks.work_off()
    is_busy = pl.col("tick_count") == 9
    count = tamper(sinks, "m5", is_busy, traded_volume=pl.col("traded_volume") + DIGIT)
    assert count > 3
    wrong_topic = {"different": 3, "equal": expected.height - 3}
    wrong_table = {"different": 3 + count, "equal": expected.height - 3 - count}
    assert counts(verified(sinks, price="trade")) == (wrong_table, wrong_topic)
    assert run_repair(sinks) == 3 + count
    sinks.work_off()
    assert counts(verified(sinks, price="trade")) == (all_equal, all_equal)
    assert exact(landed(sinks)).equals(expected)
    assert exact(pipeline.candles()).equals(expected)


@needs_real_trades
def test_trades_are_backfilled_and_the_engine_continues(sinks: Sinks, tmp_path: Path) -> None:
    trades = pl.read_parquet(CRYPTO).sort("number")
    old, new = tmp_path / "old.parquet", crypto_trades().sort("number").slice(9_000)
    trades.head(9_000).write_parquet(old)
    backfill(sinks, old, price="trade")
    sinks.work_off()
    sinks.pipeline.send_frame(new)
    sinks.pipeline.work_off(price="trade")
    sinks.work_off()
    assert equal_crypto_bars(sinks.pipeline.candles()) == ALL_CRYPTO_BARS
    expected = expected_candles(crypto_trades())
    assert exact(sinks.pipeline.candles()).equals(expected)
    assert exact(landed(sinks)).equals(expected)
    all_equal = {"equal": expected.height}
    assert counts(verified(sinks, price="trade")) == (all_equal, all_equal)


@needs_real_trades
def test_the_trades_of_two_shares_are_backfilled(sinks: Sinks) -> None:
    """Their volumes are those of the vendor, and all else is that of Python's decimal."""
    backfill(sinks, EQUITY, price="trade")
    sinks.work_off()
    candles, expected = landed(sinks), expected_candles(equity_trades())
    assert equal_equity_volumes(candles) == EQUAL_EQUITY_VOLUMES
    assert exact(candles).equals(expected)
    assert exact(sinks.pipeline.candles()).equals(expected)


@pytest.mark.skipif(not NEGATIVE.exists(), reason="the cases are missing (../shared/data)")
def test_a_file_with_prices_below_zero_needs_a_setting(sinks: Sinks) -> None:
    layout = ColumnMapping(source="CME", symbol="WTI")
    with pytest.raises(FeedError, match=r"'mid': '-1.43'.* a finite number above 0"):
        backfill(sinks, NEGATIVE, layout=layout)
    backfill(sinks, NEGATIVE, layout=layout, prices="any")
    days = sinks.pipeline.candles().filter(pl.col("interval") == "D1")
    assert days["low"].to_list() == [-37.63, 1.1]
    assert days["tick_count"].to_list() == [4, 1]


def test_prices_of_any_sign_are_landed_and_verified(sinks: Sinks) -> None:
    """WTI crude on 20 April 2020."""
    prices = {"18:08": 0.01, "18:09": -1.43, "18:29": -37.63, "18:30": 0.0}
    ticks = [
        {**tick(f"2020-04-20T{at}:00", mid, n), "ask": mid + 0.01, "bid": mid - 0.01}
        for n, (at, mid) in enumerate(prices.items(), 1)
    ]
    sinks.pipeline.send(*ticks)
    sinks.pipeline.work_off(prices="any")
    sinks.work_off(prices="any")
    day = sinks.pipeline.candles().filter(pl.col("interval") == "D1").row(0, named=True)
    assert (day["open"], day["high"], day["low"], day["close"]) == (0.01, 0.01, -37.63, 0.0)
    table, topic = counts(verified(sinks, prices="any"))
    assert table == topic == {"equal": sinks.pipeline.candles().height}
    for wrong in (sinks.work_off, lambda: verified(sinks)):
        with pytest.raises(StateError, match="--prices any, but --prices is positive"):
            wrong()
    with pytest.raises(StateError, match="built with --prices any, but --prices is positive"):
        sinks.pipeline.work_off()


def test_prices_below_zero_are_dead_letters_by_default(sinks: Sinks) -> None:
    sinks.pipeline.send(
        tick("2020-04-20T18:00:00", 1.1, 1), tick("2020-04-20T18:29:00", -37.63, 2, ask=1, bid=1)
    )
    sinks.pipeline.work_off()
    sinks.work_off()
    assert sinks.pipeline.counted("homma_ticks_dead") == 1
    [dead] = sinks.pipeline.records(sinks.pipeline.topics.dead)
    error = dict(dead.headers() or ())["error"]
    assert error == b"mid: required in a quote, a finite number above 0"
    assert sinks.rows("stock_ticks_iceberg").height == 1


def test_an_installation_of_quotes_refuses_trades(sinks: Sinks) -> None:
    pipeline = sinks.pipeline
    pipeline.send(tick("2025-03-20T14:31:00", 1.5, 1))
    pipeline.work_off()
    before = pipeline.candles()
    for settings in ({}, {"rebuild": True}):
        with pytest.raises(StateError) as raised:
            pipeline.work_off(price="trade", **settings)
        assert str(raised.value) == (
            "the candles are built from mid, but --price is trade; use --price mid, or other "
            "topics, another --group and another --namespace, as candles of trades and of quotes "
            "cannot share them"
        )
    assert pipeline.candles().select(KEY).equals(before.select(KEY))
    with pytest.raises(StateError, match="format 2 has no candles of trades"):
        Pipeline(pipeline.bootstrap).work_off(price="trade", write_format=2)
