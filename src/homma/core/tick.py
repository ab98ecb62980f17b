"""The tick: its fields and their rules.

The parser's schema, the errors of dead letters and the JSON Schema derive from `core/fields.py`. A
tick's dateTime is its **event time**. Ticks are ordered by (dateTime, number), never by arrival.
"""

from typing import Final, Literal, TypeAlias

import polars as pl

from homma.core.fields import TICK_FIELDS, TickField

Price = Literal["mid", "bid", "ask"]


def instant_us(text: pl.Expr) -> pl.Expr:
    """Microseconds of a text that matches INSTANT_PATTERN; null if the date does not exist."""
    # Seconds and fraction are parsed separately: polars parses formats without a fraction ten
    # times as fast.
    whole = text.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    fraction = text.str.slice(20).str.strip_suffix("Z").str.pad_end(6, "0")
    return whole.cast(pl.Int64) + fraction.cast(pl.Int64, strict=False).fill_null(0)


#: The schema for the JSON parser.
JSON_SCHEMA: Final = pl.Schema({field.json: field.json_dtype for field in TICK_FIELDS})

PARSED: Final = pl.Schema({**JSON_SCHEMA, "error": pl.String()})
#: The values of records, one row each; `error` is null if a value was parsed.
ParsedTicks: TypeAlias = pl.DataFrame

CHECKED: Final = pl.Schema(
    {**PARSED, "timestamp_us": pl.Int64(), "event_us": pl.Int64(), "receive_us": pl.Int64()}
)
#: Parsed records with their Kafka timestamp; `error` is null where the tick is valid.
CheckedTicks: TypeAlias = pl.DataFrame

VALID: Final = pl.Schema({**CHECKED, "offset": pl.Int64(), "row": pl.UInt32()})
#: The valid ticks of a batch of one partition, by offset; `row` is the record's index in the batch.
ValidTicks: TypeAlias = pl.DataFrame

FILE_TICK: Final = pl.Schema(
    {
        **{f.json: f.json_dtype for f in TICK_FIELDS if f.required and f.kind != "instant"},
        "event_us": pl.Int64(),
    }
)
#: Ticks of a file, without nulls, with the optional fields and the received_us that the file has.
FileTicks: TypeAlias = pl.DataFrame


def rule_error(field: TickField) -> str:
    """The error of a dead letter whose field breaks its rule."""
    return f"{field.json}: {field.rule}"


def _is_valid(field: TickField) -> pl.Expr:
    # null means absent; the check of null, or of a date that does not exist, is null.
    valid = field.is_valid.fill_null(value=False)
    return valid if field.required else pl.col(field.json).is_null() | valid


def check(raw: ParsedTicks, max_future_us: int) -> CheckedTicks:
    """Validate parsed ticks.

    `raw` has `timestamp_us` too (the record's Kafka timestamp); its further columns stay.
    """
    timed = raw.with_columns(
        event_us=instant_us(pl.col("dateTime")), receive_us=instant_us(pl.col("receiveDateTime"))
    )
    is_ahead = pl.col("event_us") - pl.col("timestamp_us") > max_future_us
    is_valid = pl.all_horizontal(
        pl.col("error").is_null(),
        ~is_ahead.fill_null(value=True),
        *(_is_valid(f) for f in TICK_FIELDS),
    )
    if timed.select(is_valid.all()).item():
        return timed
    errors = [
        pl.when(~_is_valid(field)).then(pl.lit(rule_error(field))).otherwise(None)
        for field in TICK_FIELDS
    ]
    ahead = pl.when(is_ahead).then(
        pl.lit("dateTime: too far ahead of the record's Kafka timestamp")
    )
    return timed.with_columns(pl.coalesce(pl.col("error"), *errors, ahead).alias("error"))
