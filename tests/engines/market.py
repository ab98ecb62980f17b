"""Three days of a small market as the lake's twelve frames, built by the engine's core."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Final, Literal

import polars as pl

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.candle import base_candles, order_key, order_key_number, order_key_us, roll_up
from homma.core.decimals import DECIMAL
from homma.core.series import NAMES
from homma.core.tick import measures, with_turnover
from homma.lake.schema import INSTANT, TICKS, TableSpec, candle_tables

#: Symbol, initial price, decimals.
SYMBOLS: Final = (("BNBUSD", 627.0, 2), ("EURUSD", 1.08512, 5))
SOURCES: Final = ("SOURCE_1", "SOURCE_2")
START: Final = datetime(2025, 3, 20, 14, 30, tzinfo=UTC)
EVERY_S: Final = 90
DAYS: Final = 3
#: The `update_date_time` of the candles.
WRITTEN: Final = START + timedelta(days=DAYS, seconds=3)


def market(price: Literal["mid", "trade"] = "mid") -> dict[str, pl.DataFrame]:
    """The rows of every table by name, the same at every call: of a market of quotes or trades."""
    ticks = _ticks() if price == "mid" else trades()
    candles = candles_of(ticks, price)
    if price == "mid":
        # What the records of quotes do not have is null in the tables.
        candles = candles.with_columns(traded_volume=None, turnover=None)
    return {TICKS.name: ticks} | {
        spec.name: _candles(candles, spec) for spec in candle_tables(DEFAULT_CALENDAR)
    }


def candles_of(ticks: pl.DataFrame, price: Literal["mid", "trade"]) -> pl.DataFrame:
    """The candles of all intervals, of which the last ones are open."""
    at = pl.col("date_time").cast(pl.Int64)
    coded = with_turnover(ticks).select(
        pl.struct(NAMES).rank("dense").sub(1).cast(pl.UInt32).alias("series"),
        at.alias("event_us"),
        order_key(at, pl.col("number")).alias("order_key"),
        *measures(price),
        *NAMES,
    )
    named = coded.select("series", *NAMES).unique()
    base = base_candles(coded, DEFAULT_CALENDAR.base)
    candles = roll_up(base, DEFAULT_CALENDAR.intervals).join(
        named, on="series", maintain_order="left"
    )
    is_final = pl.col("end_us").cast(INSTANT) <= pl.lit(ticks["date_time"].max(), INSTANT)
    return candles.with_columns(is_final=is_final, revision=is_final.cast(pl.Int32))


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


def trades() -> pl.DataFrame:
    """A trade at the mid price of each quote; every tenth tick is the quote, too."""
    quotes = _ticks()
    rng = random.Random(5)
    sizes = []
    for symbol in quotes["symbol"]:
        # The sums of EURUSD have more digits than a double or Python's own context.
        digits = rng.randrange(10**7, 10**9) if symbol == SYMBOLS[0][0] else rng.randrange(10**27)
        size = Decimal(digits).scaleb(-8 if symbol == SYMBOLS[0][0] else -12)
        sizes.append(size if rng.random() < 0.99 else None)
    is_quote = pl.int_range(pl.len()) % 10 == 0
    return quotes.with_columns(
        price="mid",
        size=pl.Series(sizes, dtype=DECIMAL),
        side=pl.Series([rng.choice(["buy", "sell", None]) for _ in sizes]),
        **{name: pl.when(is_quote).then(name) for name in ("ask", "bid", "mid")},
    ).select(TICKS.schema.names())


def _candles(candles: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """The candles of a table."""
    columns = {
        "date_time": pl.col("start_us"),
        "open_date_time": order_key_us(pl.col("open_order_key")),
        "open_number": order_key_number(pl.col("open_order_key")),
        "close_date_time": order_key_us(pl.col("close_order_key")),
        "close_number": order_key_number(pl.col("close_order_key")),
        "update_date_time": pl.lit(WRITTEN),
    }
    assert spec.interval is not None
    rows = candles.filter(pl.col("interval") == spec.interval.code).with_columns(**columns)
    return rows.select(spec.schema.names()).cast(spec.schema).sort(spec.sort)
