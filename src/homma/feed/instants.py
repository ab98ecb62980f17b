"""Parse dates of recorded ticks, in common spellings, to microseconds since the epoch, UTC."""

from typing import Final, Literal

import polars as pl

from homma.core.fields import INSTANT_PATTERN
from homma.core.tick import instant_us

#: The unit of dates that are numbers, or `text`.
Unit = Literal["text", "s", "ms", "us", "ns"]
_US_EACH: Final = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
_SECOND_US: Final = 1_000_000
# 2014-05-01 00:00:01.787, 2014.05.01T00:00:01,787+02:00, 20140501 000001787, 2014/05/01 …
_LOOSE: Final = (
    r"^\s*(?<y>[0-9]{4})[-/.]?(?<m>[0-9]{2})[-/.]?(?<d>[0-9]{2})[T _]"
    r"(?<H>[0-9]{2}):?(?<M>[0-9]{2}):?(?<S>[0-5][0-9])(?:[.,]?(?<f>[0-9]{1,9}))?"
    r"\s*(?<z>Z|UTC|[+-][0-9]{2}:?[0-9]{2})?\s*$"
)


def parse_dates_us(dates: pl.Series, unit: Unit) -> pl.Series:
    """Microseconds since the epoch of a column of dates; null where a value is not a date.

    Dates without a time zone are UTC. Fractions of a microsecond are truncated.
    """
    if dates.dtype.is_temporal():
        # A column with a time zone stores UTC internally.
        return dates.cast(pl.Datetime("us")).cast(pl.Int64)
    if unit != "text":
        return _epoch_us(dates, unit)
    return _text_us(dates.cast(pl.String))


def _epoch_us(dates: pl.Series, unit: Unit) -> pl.Series:
    factor = _US_EACH[unit]
    whole = dates.cast(pl.Int64, strict=False) if not dates.dtype.is_float() else None
    if whole is not None and whole.null_count() == dates.null_count():
        # Nanoseconds of recent dates exceed the integers that a double represents exactly.
        return whole * int(factor) if factor >= 1 else whole // int(1 / factor)
    return (dates.cast(pl.Float64, strict=False) * factor).round().cast(pl.Int64, strict=False)


def _text_us(dates: pl.Series) -> pl.Series:
    frame = dates.alias("text").to_frame()
    if dates.str.contains(INSTANT_PATTERN).all():
        return frame.select(instant_us(pl.col("text"))).to_series()
    part = pl.col("text").str.extract_groups(_LOOSE).struct
    pieces = frame.select(
        whole=pl.format("{}-{}-{}T{}:{}:{}", *(part.field(piece) for piece in "ymdHMS")),
        us=part.field("f").fill_null("0").str.pad_end(6, "0").str.head(6).cast(pl.Int64),
        zone=part.field("z").fill_null("Z").str.replace("UTC", "Z").str.replace(":", ""),
    )
    # Hours and minutes of an offset such as +0530; null for Z.
    hours, minutes = (pl.col("zone").str.slice(at, 2).cast(pl.Int64, strict=False) for at in (1, 3))
    offset_min = hours * 60 + minutes
    offset_us = (
        pl.when(pl.col("zone") == "Z")
        .then(0)
        .when(pl.col("zone").str.starts_with("-"))
        .then(-offset_min)
        .otherwise(offset_min)
    ) * (60 * _SECOND_US)
    whole_us = instant_us(pl.col("whole"))
    return pieces.select(whole_us + pl.col("us") - offset_us).to_series()


def format_instant(us: pl.Expr) -> pl.Expr:
    """Format microseconds as the contract's date-time: three fractional digits, six if needed."""
    instant = us.cast(pl.Datetime("us"))
    return (
        pl.when(us % 1_000 == 0)
        .then(instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"))
        .otherwise(instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f"))
    )
