"""Conversions between the oracle's dicts and the engine's frames."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from homma.core.fields import VALUE_FIELDS
from homma.core.interval import BY_CODE
from homma.core.tick import CHECKED, Price, kind_of, with_turnover
from homma.topics.codec import encode_candles
from tests.support import oracle
from tests.support.oracle import EPOCH, Candle, Key, Tick, at_of

TICK_SCHEMA = pl.Schema(
    {
        **{name: dtype for name, dtype in CHECKED.items() if name != "turnover"},
        "offset": pl.Int64(),
        "row": pl.UInt32(),
    }
)


def us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def tick_frame(ticks: Sequence[tuple[int, Tick, datetime]]) -> pl.DataFrame:
    """Valid ticks for `Window.apply`, from (offset, tick, Kafka timestamp)."""
    rows = [
        tick | {"event_us": us(at_of(tick)), "timestamp_us": us(at), "offset": offset, "row": row}
        for row, (offset, tick, at) in enumerate(ticks)
    ]
    return with_turnover(pl.DataFrame(rows, schema=TICK_SCHEMA))


def as_records(published: pl.DataFrame, price: Price = "mid") -> dict[Key, Candle]:
    """Published candles as the values of their records, by the oracle's keys.

    Decimals are texts, as in the oracle.
    """
    _, values = encode_candles(published, 0, kind_of(price))
    candles: dict[Key, Candle] = {}
    for code, value in zip(published["interval"], values, strict=True):
        candle = json.loads(value)
        if price == "trade":
            exact = json.loads(value, parse_float=str, parse_int=str)
            candle |= {name: exact[name] for name in ("volume", "turnover")}
        del candle["updateDateTime"]
        start = datetime.fromisoformat(candle["dateTime"])
        key = (BY_CODE[code].name, candle["source"], candle["symbol"], start)
        assert key not in candles, "published twice at once"
        candles[key] = candle
    return candles


def measures_of(tick: Tick) -> tuple[float, Decimal, Decimal]:
    """The price, the traded volume and the turnover of a tick in core's frames."""
    if tick.get("price") is None:
        return tick["mid"], Decimal(0), Decimal(0)
    turnover = oracle.turnover_of(tick)
    assert turnover is not None
    return tick["price"], oracle.size_of(tick), turnover


def values_of(candle: Candle) -> tuple[Any, ...]:
    """The values of an oracle's candle in core's frames."""
    is_trade = "turnover" in candle
    values = {
        "volume": candle["tickCount"],
        "traded_volume": Decimal(candle["volume"] if is_trade else 0),
        "turnover": Decimal(candle.get("turnover", 0)),
    }
    return tuple(
        values[field.column] if field.column in values else candle[field.json]
        for field in VALUE_FIELDS
    )


def without_finality(candles: dict[Key, Candle]) -> dict[Key, Candle]:
    """The fields that depend only on the ticks."""
    return {
        key: {name: value for name, value in candle.items() if name not in ("isFinal", "revision")}
        for key, candle in candles.items()
    }
