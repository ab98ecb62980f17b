"""Parse dates of recorded ticks, in common spellings, to microseconds since the epoch, UTC."""

from typing import Final, Literal

import polars as pl

from homma.core.fields import INSTANT_PATTERN
from homma.core.tick import instant_us

#: The unit of dates that are numbers, or `text`. An epoch may be in any unit: the number tells.
Unit = Literal["text", "s", "ms", "us", "ns", "epoch"]
_US_EACH: Final = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
#: The units of an epoch, each with the numbers below which dates until 2286 are.
_EPOCHS: Final = (("s", 10**10), ("ms", 10**13), ("us", 10**16), ("ns", 10**19))
_SECOND_US: Final = 1_000_000
# 2014-05-01 00:00:01.787, 2014.05.01T00:00:01,787+02:00, 20140501 000001787, 2014/05/01 00:00 …
_LOOSE: Final = (
    r"^\s*(?<y>[0-9]{4})[-/.]?(?<m>[0-9]{2})[-/.]?(?<d>[0-9]{2})[T _]"
    r"(?<H>[0-9]{2}):?(?<M>[0-9]{2})(?::?(?<S>[0-5][0-9])(?:[.,]?(?<f>[0-9]{1,9}))?)?"
    r"\s*(?:(?:UTC|GMT)?(?<z>Z|(?:UTC|GMT)$|[+-][0-9]{2}:?[0-9]{2}))?\s*$"
)


def parse_dates_us(dates: pl.Series, unit: Unit, pattern: str = "", zone: str = "") -> pl.Series:
    """Microseconds since the epoch of a column of dates; null where a value is not a date.

    `pattern` is that of texts in a spelling that is not a common one, and `zone` the time zone of
    dates that have none, by default UTC. A local time that exists twice is the earlier one. Digits
    after the microsecond are cut.
    """
    if dates.dtype.is_temporal():
        # A column with a time zone stores UTC internally.
        return _to_utc_us(dates.cast(pl.Datetime("us", _zone_of(dates))), zone)
    if unit == "epoch":
        return _any_epoch_us(dates)
    if unit != "text":
        return _epoch_us(dates, unit)
    texts = dates.cast(pl.String)
    if pattern:
        return _to_utc_us(texts.str.to_datetime(pattern, time_unit="us", strict=False), zone)
    return _text_us(texts, zone)


def _zone_of(dates: pl.Series) -> str | None:
    return getattr(dates.dtype, "time_zone", None)


def _to_utc_us(dates: pl.Series, zone: str) -> pl.Series:
    if zone and _zone_of(dates) is None:
        dates = dates.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return dates.cast(pl.Int64)


def _any_epoch_us(dates: pl.Series) -> pl.Series:
    numbers = dates.cast(pl.Float64, strict=False).abs()
    result = pl.Series(dates.name, [None], dtype=pl.Int64).new_from_index(0, dates.len())
    least = 0
    for unit, limit in _EPOCHS:
        rows = ((numbers >= least) & (numbers < limit)).arg_true()
        least = limit
        if rows.len():
            result = result.scatter(rows, _epoch_us(dates.gather(rows), unit))
    return result


def _epoch_us(dates: pl.Series, unit: str) -> pl.Series:
    factor = _US_EACH[unit]
    whole = dates.cast(pl.Int64, strict=False) if not dates.dtype.is_float() else None
    if whole is not None and whole.null_count() == dates.null_count():
        # Nanoseconds of recent dates exceed the integers that a double represents exactly.
        return whole * int(factor) if factor >= 1 else whole // int(1 / factor)
    return (dates.cast(pl.Float64, strict=False) * factor).round().cast(pl.Int64, strict=False)


def _text_us(dates: pl.Series, zone: str) -> pl.Series:
    frame = dates.alias("text").to_frame()
    if not zone and dates.str.contains(INSTANT_PATTERN).all():
        return frame.select(instant_us(pl.col("text"))).to_series()
    part = pl.col("text").str.extract_groups(_LOOSE).struct
    seconds = part.field("S").fill_null("00")
    pieces = frame.select(
        whole=pl.format("{}-{}-{}T{}:{}:{}", *(part.field(piece) for piece in "ymdHM"), seconds),
        us=part.field("f").fill_null("0").str.pad_end(6, "0").str.head(6).cast(pl.Int64),
        zone=part.field("z").str.replace("UTC|GMT", "Z").str.replace(":", ""),
    )
    # Hours and minutes of an offset such as +0530; null for Z.
    hours, minutes = (pl.col("zone").str.slice(at, 2).cast(pl.Int64, strict=False) for at in (1, 3))
    offset_min = hours * 60 + minutes
    offset_us = (
        pl.when(pl.col("zone").is_null() | (pl.col("zone") == "Z"))
        .then(0)
        .when(pl.col("zone").str.starts_with("-"))
        .then(-offset_min)
        .otherwise(offset_min)
    ) * (60 * _SECOND_US)
    whole_us = instant_us(pl.col("whole"))
    us = pieces.select(whole_us + pl.col("us") - offset_us).to_series()
    if not zone:
        return us
    local_us = _to_utc_us(us.cast(pl.Datetime("us")), zone)
    return pl.select(pl.when(pieces["zone"].is_null()).then(local_us).otherwise(us)).to_series()


def format_instant(us: pl.Expr) -> pl.Expr:
    """Format microseconds as the contract's date-time: three fractional digits, six if needed."""
    instant = us.cast(pl.Datetime("us"))
    return (
        pl.when(us % 1_000 == 0)
        .then(instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"))
        .otherwise(instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f"))
    )
