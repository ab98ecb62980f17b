"""The tick: its fields and the rules they must keep.

FIELDS is the table that the parser's schema, the dead letters' reasons and the JSON Schema are
made from. A tick's dateTime is its **event time**; its place in its series is (dateTime, number)
and never its arrival.
"""

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from homma.core.interval import MINUTE_US

Price = Literal["mid", "bid", "ask"]

NAME_PATTERN: Final = r'^[^\p{Cc}"\\{}\[\]]{1,64}$'
INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?$"
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the tick: its JSON name, column type, and its rule in words and as a check."""

    name: str
    dtype: type[pl.DataType]
    required: bool
    rule: str
    valid: pl.Expr


def _name(field: str) -> Field:
    return Field(
        field,
        pl.String,
        True,
        'required, 1 to 64 characters, no control character and none of " \\ { } [ ]',
        pl.col(field).str.contains(NAME_PATTERN),
    )


def _price(field: str) -> Field:
    valid = pl.col(field).is_finite() & (pl.col(field) > 0)
    return Field(field, pl.Float64, True, "required, a finite number above 0", valid)


def _instant(field: str, column: str, *, required: bool) -> Field:
    rule = "YYYY-MM-DDTHH:MM:SS with up to 6 fractional digits, UTC, from 1970"
    # `check` has put its microseconds in that column: they are wanted once more.
    valid = pl.col(field).str.contains(INSTANT_PATTERN) & (pl.col(column) >= 0)
    return Field(field, pl.String, required, f"required, {rule}" if required else rule, valid)


def instant_us(text: pl.Expr) -> pl.Expr:
    """Microseconds of a text that keeps INSTANT_PATTERN; null where there is no such date."""
    # Whole seconds and their fraction apart: polars parses formats without a fraction ten times
    # as fast.
    whole = text.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    fraction = text.str.slice(20).str.strip_suffix("Z").str.pad_end(6, "0")
    return whole.cast(pl.Int64) + fraction.cast(pl.Int64, strict=False).fill_null(0)


FIELDS: Final = (
    _name("source"),
    _name("symbol"),
    _price("ask"),
    _price("bid"),
    _price("mid"),
    Field(
        "number",
        pl.Int64,
        True,
        "required, a whole number from 0 below 2^63",
        pl.col("number") >= 0,
    ),
    _instant("dateTime", "event_us", required=True),
    _instant("receiveDateTime", "receive_us", required=False),
    Field("askMarkup", pl.Float64, False, "a number", pl.col("askMarkup").is_finite()),
    Field("bidMarkup", pl.Float64, False, "a number", pl.col("bidMarkup").is_finite()),
    Field("isTradable", pl.Boolean, False, "true or false", pl.lit(value=True)),
)

#: What the JSON parser is told.
JSON_SCHEMA: Final = pl.Schema({field.name: field.dtype for field in FIELDS})


def broken(field: Field) -> str:
    """What a dead letter says of a tick whose field breaks its rule."""
    return f"{field.name}: {field.rule}"


def _keeps(field: Field) -> pl.Expr:
    # null stands for absent; a check of null, or of a date that does not exist, is null.
    kept = field.valid.fill_null(value=False)
    return kept if field.required else pl.col(field.name).is_null() | kept


def check(raw: pl.DataFrame, max_future_us: int) -> pl.DataFrame:
    """Judge parsed ticks.

    `raw` has the columns of JSON_SCHEMA, `timestamp_us` (the record's own Kafka timestamp) and
    `error`, not null where the parser has already refused the record. Comes back with `event_us`
    and `receive_us`, and with `error` null where, and only where, the tick is valid.
    """
    timed = raw.with_columns(
        event_us=instant_us(pl.col("dateTime")), receive_us=instant_us(pl.col("receiveDateTime"))
    )
    future = pl.col("event_us") - pl.col("timestamp_us") > max_future_us
    fine = pl.all_horizontal(
        pl.col("error").is_null(), ~future.fill_null(value=True), *(_keeps(f) for f in FIELDS)
    )
    if timed.select(fine.all()).item():
        return timed
    reasons = [
        pl.when(~_keeps(field)).then(pl.lit(broken(field))).otherwise(None) for field in FIELDS
    ]
    ahead = pl.when(future).then(
        pl.lit("dateTime: too far ahead of the record's own Kafka timestamp")
    )
    return timed.with_columns(pl.coalesce(pl.col("error"), *reasons, ahead).alias("error"))


def minute_end_us(event_us: pl.Expr) -> pl.Expr:
    """The end of the 1-minute interval an instant lies in: what lateness is counted from."""
    return event_us - event_us % MINUTE_US + MINUTE_US
