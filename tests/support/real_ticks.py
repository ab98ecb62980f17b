"""Real quotes with another vendor's bars; not part of the project, but available in CI."""

import random
from pathlib import Path

import polars as pl
import pytest

from homma.core.interval import CODE

FOLDER = Path(__file__).parents[3] / "shared" / "data"
TICKS = FOLDER / "fxcm-eurusd-ticks.parquet"
BARS = FOLDER / "fxcm-eurusd-bars.parquet"
#: The number of the vendor's bars by resolution.
ALL_BARS = {"minute": 15_857, "hour": 268, "daily": 13}
INTERVAL_OF = {"minute": "m1", "hour": "h1", "daily": "D1"}

needs_real_ticks = pytest.mark.skipif(
    not TICKS.exists(), reason="the real quotes are missing (../shared/data)"
)


def real_ticks() -> pl.DataFrame:
    """The quotes as ticks, dateTime as text."""
    return pl.read_parquet(TICKS).with_columns(
        pl.col("dateTime").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")
    )


def disturbed(ticks: pl.DataFrame, within_us: int, duplicates: float, seed: int) -> pl.DataFrame:
    """Ticks shuffled within `within_us` of event time, a share of them duplicated."""
    chance = random.Random(seed)
    at = pl.col("dateTime").str.to_datetime(time_unit="us").cast(pl.Int64)

    def delayed(frame: pl.DataFrame) -> pl.DataFrame:
        delays = [chance.randrange(within_us) for _ in range(frame.height)]
        return frame.with_columns(at=at + pl.Series(delays, dtype=pl.Int64))

    copies = ticks.sample(fraction=duplicates, seed=seed)
    return pl.concat([delayed(ticks), delayed(copies)]).sort("at").drop("at")


def bars(price: str) -> pl.DataFrame:
    """The vendor's bars: interval, start_us, open, high, low, close."""
    return pl.read_parquet(BARS).select(
        pl.col("resolution").replace_strict(INTERVAL_OF, return_dtype=CODE).alias("interval"),
        pl.col("dateTime").cast(pl.Datetime("us")).cast(pl.Int64).alias("start_us"),
        *(pl.col(f"{price}_{field}").alias(field) for field in ("open", "high", "low", "close")),
    )


def equal_bars(candles: pl.DataFrame, price: str) -> dict[str, int]:
    """The number of candles equal to the vendor's, by resolution; none may be missing or extra."""
    expected = bars(price)
    fields = ["interval", "start_us", "open", "high", "low", "close"]
    actual = candles.filter(pl.col("interval").is_in(expected["interval"].unique().to_list()))
    assert actual.height == expected.height
    equal = actual.select(fields).join(expected, on=fields, how="inner")
    counts = dict(equal.group_by("interval").len().iter_rows())
    return {resolution: counts.get(code, 0) for resolution, code in INTERVAL_OF.items()}
