"""Three days of a small market as the lake's twelve frames, built by the engine's core."""

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final

import polars as pl

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.candle import base_candles, order_key, order_key_number, order_key_us, roll_up
from homma.core.series import NAMES
from homma.lake.schema import INSTANT, TICKS, TableSpec, candle_tables

#: Symbol, initial price, decimals.
SYMBOLS: Final = (("BNBUSD", 627.0, 2), ("EURUSD", 1.08512, 5))
SOURCES: Final = ("SOURCE_1", "SOURCE_2")
START: Final = datetime(2025, 3, 20, 14, 30, tzinfo=UTC)
EVERY_S: Final = 90
DAYS: Final = 3
#: The `update_date_time` of the candles.
WRITTEN: Final = START + timedelta(days=DAYS, seconds=3)


def market() -> dict[str, pl.DataFrame]:
    """The rows of every table by name, the same at every call."""
    ticks = _ticks()
    at = pl.col("date_time").cast(pl.Int64)
    coded = ticks.select(
        pl.struct(NAMES).rank("dense").sub(1).cast(pl.UInt32).alias("series"),
        at.alias("event_us"),
        order_key(at, pl.col("number")).alias("order_key"),
        pl.col("mid").alias("price"),
        *NAMES,
    )
    named = coded.select("series", *NAMES).unique()
    base = base_candles(coded, DEFAULT_CALENDAR.base)
    candles = roll_up(base, DEFAULT_CALENDAR.intervals).join(
        named, on="series", maintain_order="left"
    )
    last_us = ticks["date_time"].max()
    return {TICKS.name: ticks} | {
        spec.name: _candles(candles, spec, last_us) for spec in candle_tables(DEFAULT_CALENDAR)
    }


def _ticks() -> pl.DataFrame:
    rng = random.Random(4)
    rows = []
    for partition, (source, (symbol, mid, decimals)) in enumerate(product(SOURCES, SYMBOLS)):
        step = 10**-decimals
        price = mid
        for number in range(DAYS * 86_400 // EVERY_S):
            price = round(price * rng.gauss(1, 1e-4), decimals)
            after_ms = rng.randrange(EVERY_S * 1000)
            moment = START + timedelta(seconds=number * EVERY_S, milliseconds=after_ms)
            rows.append(
                {
                    "source": source,
                    "symbol": symbol,
                    "date_time": moment,
                    "number": number,
                    "ask": round(price + step, decimals),
                    "bid": round(price - step, decimals),
                    "mid": price,
                    "ask_markup": 0.0,
                    "bid_markup": 0.0,
                    "is_tradable": True,
                    "kafka_partition": partition,
                    "kafka_offset": number,
                }
            )
    return pl.DataFrame(rows, TICKS.schema)


def _candles(candles: pl.DataFrame, spec: TableSpec, last: object) -> pl.DataFrame:
    """The candles of a table; the last ones are open."""
    final = pl.col("end_us").cast(INSTANT) <= pl.lit(last, INSTANT)
    columns = {
        "date_time": pl.col("start_us"),
        "open_date_time": order_key_us(pl.col("open_order_key")),
        "open_number": order_key_number(pl.col("open_order_key")),
        "close_date_time": order_key_us(pl.col("close_order_key")),
        "close_number": order_key_number(pl.col("close_order_key")),
        "is_final": final,
        "revision": final.cast(pl.Int32),
        "update_date_time": pl.lit(WRITTEN),
    }
    assert spec.interval is not None
    rows = candles.filter(pl.col("interval") == spec.interval.code).with_columns(**columns)
    return rows.select(spec.schema.names()).cast(spec.schema).sort(spec.sort)
