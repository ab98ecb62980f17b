"""Real trades with other programs' bars; not part of the project, but available in CI."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl
import pytest

from homma.core.decimals import DECIMAL, parse_sizes, text
from homma.core.interval import BY_CODE, CODE
from tests.support import oracle
from tests.support.pipeline import Pipeline
from tests.support.real_ticks import FOLDER, disturbed, real_ticks

CRYPTO = FOLDER / "crypto-trades.parquet"
CRYPTO_BARS = FOLDER / "crypto-trades-bars.parquet"
EQUITY = FOLDER / "equity-trades.parquet"
EQUITY_BARS = FOLDER / "equity-trades-bars.parquet"
#: The number of crypto bars by resolution.
ALL_CRYPTO_BARS = {"1min": 2_469, "5min": 706}
#: The vendor's own volumes differ from its trades in 35 more minutes.
EQUAL_EQUITY_VOLUMES = 4_262
FOUR_MINUTES_US = 240_000_000
INTERVAL_OF = {"1min": "m1", "5min": "m5"}

needs_real_trades = pytest.mark.skipif(
    not CRYPTO.exists() or not EQUITY.exists(),
    reason="the real trades are missing (../shared/data)",
)

_KEY = ["interval", "source", "symbol", "start_us"]
_SUMS = ["traded_volume", "turnover"]
_VALUES = ["open", "high", "low", "close", "tick_count", *_SUMS]


def crypto_trades() -> pl.DataFrame:
    """12,477 trades of one series, as ticks: dateTime as text, sizes exact."""
    return _ticks(pl.read_parquet(CRYPTO))


def equity_trades() -> pl.DataFrame:
    """332,732 trades of two series, as ticks."""
    return _ticks(pl.read_parquet(EQUITY))


def send_crypto_trades(pipeline: Pipeline) -> tuple[int, int]:
    """Send the trades shuffled and a tenth of them twice, with quotes of the series in between.

    Returns how many copies and how many quotes were sent.
    """
    trades = crypto_trades()
    series = {"source": pl.lit("BINANCE"), "symbol": pl.lit("XRPETH")}
    quotes = real_ticks().head(5_000).with_columns(**series)
    sent = disturbed(trades, FOUR_MINUTES_US, 0.1, seed=1)
    for part in (sent.head(6_000), quotes, sent.slice(6_000)):
        pipeline.send_frame(part)
    return sent.height - trades.height, quotes.height


def _ticks(trades: pl.DataFrame) -> pl.DataFrame:
    sizes = parse_sizes(trades["size"].cast(pl.String))
    return trades.with_columns(
        sizes.alias("size"), pl.col("dateTime").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")
    ).select(name for name in (*oracle.FIELDS,) if name in trades.columns)


def equal_crypto_bars(candles: pl.DataFrame) -> dict[str, int]:
    """The number of candles equal to the bars, by resolution; none may be missing or extra."""
    bars = pl.read_parquet(CRYPTO_BARS)
    expected = bars.select(
        pl.col("resolution").replace_strict(INTERVAL_OF, return_dtype=CODE).alias("interval"),
        pl.col("dateTime").cast(pl.Datetime("us")).cast(pl.Int64).alias("start_us"),
        "open",
        "high",
        "low",
        "close",
        parse_sizes(bars["volume"].cast(pl.String)).alias("traded_volume"),
    )
    actual = candles.filter(pl.col("interval").is_in(list(INTERVAL_OF.values())))
    assert actual.height == expected.height
    equal = actual.join(expected, on=expected.columns, how="semi")
    counts = dict(equal.group_by("interval").len().iter_rows())
    return {resolution: counts.get(code, 0) for resolution, code in INTERVAL_OF.items()}


def equal_equity_volumes(candles: pl.DataFrame) -> int:
    """The number of minutes in which the vendor's volume is that of the candle."""
    expected = pl.read_parquet(EQUITY_BARS).select(
        "symbol",
        pl.col("dateTime").cast(pl.Datetime("us")).cast(pl.Int64).alias("start_us"),
        pl.col("volume").cast(DECIMAL).alias("traded_volume"),
    )
    minutes = candles.filter(pl.col("interval") == "m1")
    return minutes.join(expected, on=expected.columns, how="semi").height


def exact(candles: pl.DataFrame) -> pl.DataFrame:
    """What trades determine of candles, in one order, with sums as texts."""
    return candles.select(
        pl.col("interval").cast(pl.String),
        *_KEY[1:],
        *(name for name in _VALUES if name not in _SUMS),
        *(text(pl.col(name)) for name in _SUMS),
    ).sort(_KEY)


def expected_candles(trades: pl.DataFrame) -> pl.DataFrame:
    """The candles of trades in all intervals, computed by Python's `decimal`, as `exact` gives."""
    totals: dict[tuple[Any, ...], list[Any]] = {}
    rows = trades.select("source", "symbol", "price", text(pl.col("size")), "number", "dateTime")
    for source, symbol, price, size, number, date_time in rows.iter_rows():
        order_key = (date_time, number)
        turnover = oracle.turnover_of({"price": price, "size": Decimal(size)})
        assert turnover is not None
        for code, start_us in _starts(date_time[:16]):
            total = totals.setdefault(
                (code, source, symbol, start_us),
                [order_key, price, price, price, order_key, price, 0, Decimal(0), Decimal(0)],
            )
            if order_key < total[0]:
                total[0], total[1] = order_key, price
            total[2], total[3] = max(total[2], price), min(total[3], price)
            if order_key >= total[4]:
                total[4], total[5] = order_key, price
            total[6] += 1
            total[7] = oracle.EXACT.add(total[7], Decimal(size))
            total[8] = oracle.EXACT.add(total[8], turnover)
    return pl.DataFrame(
        [
            (*key, opened, high, low, close, count, *map(oracle.text_of, sums))
            for key, (_, opened, high, low, _, close, count, *sums) in totals.items()
        ],
        schema=[*_KEY, *_VALUES],
        orient="row",
    ).sort(_KEY)


@cache
def _starts(minute: str) -> tuple[tuple[str, int], ...]:
    """The starts of all intervals that contain a minute, by code."""
    at = datetime.fromisoformat(minute)
    return tuple(_each_start(at))


def _each_start(at: datetime) -> Iterator[tuple[str, int]]:
    names = {interval.name: code for code, interval in BY_CODE.items()}
    for name in oracle.NAMES:
        start = oracle.start_of(name, at)
        yield names[name], int((start - oracle.EPOCH).total_seconds()) * 1_000_000
