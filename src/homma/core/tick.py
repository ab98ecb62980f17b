"""The tick: its fields and their rules.

The parser's schema, the errors of dead letters and the JSON Schema are generated from FIELDS. A
tick's dateTime is its **event time**. Ticks are ordered by (dateTime, number), never by arrival.
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
    """A field of the tick: JSON name, column type, and its rule in words and as an expression."""

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
    # `check` has already put its microseconds in `column`.
    valid = pl.col(field).str.contains(INSTANT_PATTERN) & (pl.col(column) >= 0)
    return Field(field, pl.String, required, f"required, {rule}" if required else rule, valid)


def instant_us(text: pl.Expr) -> pl.Expr:
    """Microseconds of a text that matches INSTANT_PATTERN; null if the date does not exist."""
    # Seconds and fraction are parsed separately: polars parses formats without a fraction ten
    # times as fast.
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

#: The schema for the JSON parser.
JSON_SCHEMA: Final = pl.Schema({field.name: field.dtype for field in FIELDS})


def rule_error(field: Field) -> str:
    """The error of a dead letter whose field breaks its rule."""
    return f"{field.name}: {field.rule}"


def _is_valid(field: Field) -> pl.Expr:
    # null means absent; the check of null, or of a date that does not exist, is null.
    valid = field.valid.fill_null(value=False)
    return valid if field.required else pl.col(field.name).is_null() | valid


def check(raw: pl.DataFrame, max_future_us: int) -> pl.DataFrame:
    """Validate parsed ticks.

    `raw` has the columns of JSON_SCHEMA, `timestamp_us` (the record's Kafka timestamp) and
    `error`, not null where the parser has already rejected the record. The result also has
    `event_us` and `receive_us`, and `error` is null exactly where the tick is valid.
    """
    timed = raw.with_columns(
        event_us=instant_us(pl.col("dateTime")), receive_us=instant_us(pl.col("receiveDateTime"))
    )
    is_ahead = pl.col("event_us") - pl.col("timestamp_us") > max_future_us
    is_valid = pl.all_horizontal(
        pl.col("error").is_null(), ~is_ahead.fill_null(value=True), *(_is_valid(f) for f in FIELDS)
    )
    if timed.select(is_valid.all()).item():
        return timed
    errors = [
        pl.when(~_is_valid(field)).then(pl.lit(rule_error(field))).otherwise(None)
        for field in FIELDS
    ]
    ahead = pl.when(is_ahead).then(
        pl.lit("dateTime: too far ahead of the record's Kafka timestamp")
    )
    return timed.with_columns(pl.coalesce(pl.col("error"), *errors, ahead).alias("error"))


def minute_end_us(event_us: pl.Expr) -> pl.Expr:
    """The end of an instant's minute, from which lateness is counted."""
    return event_us - event_us % MINUTE_US + MINUTE_US
