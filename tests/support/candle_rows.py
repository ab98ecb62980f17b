"""Table rows for tests."""

from datetime import UTC, datetime
from typing import Any

import polars as pl

from homma.core.interval import MINUTE
from homma.lake.schema import TICKS, candle_table

#: The table of 1-minute candles.
MINUTES = candle_table(MINUTE)
NOON = datetime(2025, 3, 20, 12, tzinfo=UTC)


def candle(
    symbol: str = "AAA", at: datetime = NOON, *, final: bool = False, **columns: Any
) -> dict[str, Any]:
    return {
        "source": "S",
        "symbol": symbol,
        "date_time": at,
        "open": 1.0,
        "high": 1.0,
        "low": 1.0,
        "close": 1.0,
        "volume": 1,
        "tick_count": columns.get("volume", 1),
        "open_date_time": at,
        "open_number": 1,
        "close_date_time": at,
        "close_number": 1,
        "is_final": final,
        "revision": int(final),
        "update_date_time": at,
        **columns,
    }


def candles(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=MINUTES.schema)


def tick(offset: int, at: datetime = NOON, **columns: Any) -> dict[str, Any]:
    return {
        "source": "S",
        "symbol": "AAA",
        "date_time": at,
        "number": offset,
        "ask": 1.5,
        "bid": 0.5,
        "mid": 1.0,
        "ask_markup": 0.0,
        "bid_markup": 0.0,
        "is_tradable": True,
        "receive_date_time": None,
        "kafka_partition": 0,
        "kafka_offset": offset,
        **columns,
    }


def ticks(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=TICKS.schema)
