"""Real trades and captures through Kafka, by the definitions that homma ships."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from homma.core.decimals import DECIMAL, text
from homma.feed.definitions.catalog import shipped
from tests.support.ingesting import ForeignTopic
from tests.support.pipeline import Pipeline, batch_candles, same_candles
from tests.support.real_ticks import FOLDER, disturbed
from tests.support.real_trades import (
    ALL_CRYPTO_BARS,
    FOUR_MINUTES_US,
    crypto_trades,
    equal_crypto_bars,
    exact,
    expected_candles,
    needs_real_trades,
)

CAPTURES = FOLDER / "captures"
needs_captures = pytest.mark.skipif(
    not CAPTURES.exists(), reason="the captures are missing (../shared/data)"
)


def feed_of(bootstrap: str, name: str, partitions: int = 3) -> ForeignTopic:
    return ForeignTopic(Pipeline(bootstrap, partitions=2), shipped()[name].definition, partitions)


def frames(capture: str) -> list[dict[str, Any]]:
    """What an exchange sent."""
    lines = (CAPTURES / capture).read_text().splitlines()
    return [
        json.loads(line.partition(": ")[2]) for line in lines if line.partition(": ")[2][:1] == "{"
    ]


@needs_real_trades
def test_crypto_trades_as_binance_sends_them_equal_the_bars(bootstrap: str) -> None:
    """In any order, over several partitions, and a tenth of them twice."""
    feed = feed_of(bootstrap, "binance")
    trades = crypto_trades()
    sent = disturbed(trades, FOUR_MINUTES_US, 0.1, seed=3)
    at_ms = pl.col("dateTime").str.to_datetime(time_unit="ms").cast(pl.Int64)
    rows = sent.with_columns(text(pl.col("size")), at_ms=at_ms).iter_rows(named=True)
    feed.send(
        [
            json.dumps(
                {
                    "stream": "xrpeth@trade",
                    "data": {
                        "e": "trade",
                        "s": "XRPETH",
                        "t": row["number"],
                        "p": str(row["price"]),
                        "q": row["size"],
                        "T": row["at_ms"],
                        "m": row["side"] == "sell",
                    },
                }
            ).encode()
            for row in rows
        ]
    )
    feed.work_off()
    pipeline = feed.pipeline
    pipeline.work_off(price="trade")
    candles = pipeline.candles()
    assert equal_crypto_bars(candles) == ALL_CRYPTO_BARS
    assert exact(candles).equals(expected_candles(trades))
    assert pipeline.counted("homma_ticks_duplicate") == sent.height - trades.height
    assert pipeline.records(pipeline.topics.late, pipeline.topics.dead) == []


def _coinbase(frame: dict[str, Any]) -> tuple[Any, ...] | None:
    if frame["type"] not in ("match", "last_match"):
        return None
    return (
        frame["product_id"],
        float(frame["price"]),
        Decimal(frame["size"]),
        frame["trade_id"],
        frame["time"].removesuffix("Z"),
    )


def _binance(frame: dict[str, Any]) -> tuple[Any, ...] | None:
    data = frame["data"]
    if data.get("e") != "aggTrade":
        return None
    at = pl.Series([data["T"]]).cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")[0]
    return data["s"], float(data["p"]), Decimal(data["q"]), data["a"], at


@needs_captures
@pytest.mark.parametrize(
    ("capture", "name", "read", "count"),
    [
        ("COINBASE.ws.28.0", "coinbase", _coinbase, 107),
        ("BINANCE_US.ws.1.0", "binance_aggregated", _binance, 11),
    ],
)
def test_the_trades_of_a_capture_give_the_candles_of_its_frames(
    bootstrap: str,
    capture: str,
    name: str,
    read: Callable[[dict[str, Any]], tuple[Any, ...] | None],
    count: int,
) -> None:
    feed = feed_of(bootstrap, name)
    sent = frames(capture)
    feed.send([json.dumps(frame).encode() for frame in sent])
    feed.work_off()
    feed.pipeline.work_off(price="trade")
    rows = [row for frame in sent if (row := read(frame)) is not None]
    trades = pl.DataFrame(
        rows, schema=["symbol", "price", "size", "number", "dateTime"], orient="row"
    ).with_columns(pl.col("size").cast(DECIMAL), source=pl.lit(feed.feed.fields["source"].constant))
    assert trades.height == count
    assert feed.counted("homma_records_not_ticks") == len(sent) - count
    assert exact(feed.pipeline.candles()).equals(expected_candles(trades))


@needs_captures
def test_the_quotes_of_a_capture_give_the_candles_of_its_frames(bootstrap: str) -> None:
    feed = feed_of(bootstrap, "coinbase_quotes")
    sent = frames("COINBASE.ws.28.0")
    feed.send([json.dumps(frame).encode() for frame in sent])
    feed.work_off()
    feed.pipeline.work_off()
    quotes = [
        {
            "source": "COINBASE",
            "symbol": frame["product_id"],
            "mid": float((Decimal(frame["best_bid"]) + Decimal(frame["best_ask"])) / 2),
            "number": frame["sequence"],
            "dateTime": frame["time"].removesuffix("Z"),
        }
        for frame in sent
        if frame["type"] == "ticker"
    ]
    assert len(quotes) == 107
    same_candles(feed.pipeline.candles(), batch_candles(quotes))
