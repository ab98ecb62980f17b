"""Conversions between the oracle's dicts and the engine's frames."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from homma.core.interval import BY_CODE
from homma.core.tick import JSON_SCHEMA
from homma.topics.codec import encode_candles
from tests.support.oracle import EPOCH, Candle, Key, Tick, at_of

TICK_SCHEMA = pl.Schema(
    {**JSON_SCHEMA, "event_us": pl.Int64(), "timestamp_us": pl.Int64(), "offset": pl.Int64()}
)


def us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def tick_frame(ticks: Sequence[tuple[int, Tick, datetime]]) -> pl.DataFrame:
    """Valid ticks for `Window.apply`, from (offset, tick, Kafka timestamp)."""
    rows = [
        tick | {"event_us": us(at_of(tick)), "timestamp_us": us(at), "offset": offset}
        for offset, tick, at in ticks
    ]
    return pl.DataFrame(rows, schema=TICK_SCHEMA)


def as_records(published: pl.DataFrame) -> dict[Key, Candle]:
    """Published candles as the values of their records, by the oracle's keys."""
    _, values = encode_candles(published, 0)
    candles: dict[Key, Candle] = {}
    for code, value in zip(published["interval"], values, strict=True):
        candle = json.loads(value)
        del candle["updateDateTime"]
        start = datetime.fromisoformat(candle["dateTime"])
        key = (BY_CODE[code].name, candle["source"], candle["symbol"], start)
        assert key not in candles, "published twice at once"
        candles[key] = candle
    return candles


def without_finality(candles: dict[Key, Candle]) -> dict[Key, Candle]:
    """The fields that depend only on the ticks."""
    return {
        key: {name: value for name, value in candle.items() if name not in ("isFinal", "revision")}
        for key, candle in candles.items()
    }
