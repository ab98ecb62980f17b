"""The tick: its fields and their rules.

The parser's schema, the errors of dead letters and the JSON Schema derive from `core/fields.py`. A
tick's dateTime is its **event time**. Ticks are ordered by (dateTime, number), never by arrival.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import polars as pl

from homma.core.decimals import DECIMAL, products
from homma.core.fields import TICK_FIELDS, Prices, TickField, TickKind

Price = Literal["mid", "bid", "ask", "trade"]
#: The field that has each price.
PRICE_FIELDS: Final[dict[Price, str]] = {
    "mid": "mid",
    "bid": "bid",
    "ask": "ask",
    "trade": "price",
}


def kind_of(price: Price) -> TickKind:
    """What the ticks are that have a price."""
    return "trade" if price == "trade" else "quote"


@dataclass(frozen=True, slots=True)
class TickRules:
    """Which records are valid ticks, and which ticks apply.

    A tick without the field of `price` is not applicable. Without a `price`, all ticks apply.
    """

    max_future_us: int
    prices: Prices = "positive"
    price: Price | None = None


def instant_us(text: pl.Expr) -> pl.Expr:
    """Microseconds of a text that matches INSTANT_PATTERN; null if the date does not exist."""
    # Seconds and fraction are parsed separately: polars parses formats without a fraction ten
    # times as fast.
    whole = text.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    fraction = text.str.slice(20).str.strip_suffix("Z").str.pad_end(6, "0")
    return whole.cast(pl.Int64) + fraction.cast(pl.Int64, strict=False).fill_null(0)


#: The schema for the JSON parser.
JSON_SCHEMA: Final = pl.Schema({field.json: field.json_dtype for field in TICK_FIELDS})

FIELDS: Final = pl.Schema({field.json: field.dtype for field in TICK_FIELDS})
#: The fields of ticks, with instants as texts.
TickFields: TypeAlias = pl.DataFrame

PARSED: Final = pl.Schema({**FIELDS, "error": pl.String()})
#: The values of records, one row each; `error` is null if a value was parsed.
ParsedTicks: TypeAlias = pl.DataFrame

CHECKED: Final = pl.Schema(
    {
        **PARSED,
        "timestamp_us": pl.Int64(),
        "event_us": pl.Int64(),
        "receive_us": pl.Int64(),
        "turnover": DECIMAL,
    }
)
#: Parsed records with their Kafka timestamp; `error` is null where the tick is valid. `turnover` is
#: null where the tick is no trade.
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


def rule_error(field: TickField, prices: Prices) -> str:
    """The error of a dead letter whose field breaks its rule."""
    return f"{field.json}: {field.rule_for(prices)}"


TURNOVER_ERROR: Final = "size: price times size is 10^26 or more"
NEITHER_ERROR: Final = (
    "ask, bid, mid and price are absent: the record is neither a quote nor a trade"
)
_QUOTE: Final = tuple(f.json for f in TICK_FIELDS if f.required_of == "quote")


def is_valid(field: TickField, prices: Prices) -> pl.Expr:
    """Whether a field follows its rule, also that of an absent field."""
    # null means absent; the check of null, or of a date that does not exist, is null.
    valid = field.is_valid_for(prices).fill_null(value=False)
    if field.required:
        return valid
    is_absent = pl.col(field.json).is_null()
    if field.required_of == "quote":
        is_absent = pl.all_horizontal(
            pl.col("price").is_not_null(), *(pl.col(name).is_null() for name in _QUOTE)
        )
    return is_absent | valid


def with_turnover(ticks: pl.DataFrame) -> pl.DataFrame:
    """Ticks with the column turnover: null if a tick is no trade or its turnover is too large."""
    if ticks["price"].null_count() == ticks.height:
        return ticks.with_columns(turnover=pl.lit(None, DECIMAL))
    turnover = products(ticks["price"], ticks["size"].fill_null(1))
    return ticks.with_columns(turnover.alias("turnover"))


def has_turnover() -> pl.Expr:
    """Whether a tick is no trade, or has a turnover."""
    return pl.col("price").is_null() | pl.col("turnover").is_not_null()


def check(raw: ParsedTicks, rules: TickRules) -> CheckedTicks:
    """Validate parsed ticks.

    `raw` has `timestamp_us` too (the record's Kafka timestamp); its further columns stay.
    """
    timed = with_turnover(raw).with_columns(
        event_us=instant_us(pl.col("dateTime")), receive_us=instant_us(pl.col("receiveDateTime"))
    )
    if rules.prices == "any":
        timed = timed.with_columns(positive_zeros())
    is_ahead = pl.col("event_us") - pl.col("timestamp_us") > rules.max_future_us
    all_valid = pl.all_horizontal(
        pl.col("error").is_null(),
        ~is_ahead.fill_null(value=True),
        *(is_valid(f, rules.prices) for f in TICK_FIELDS),
        has_turnover(),
    )
    if timed.select(all_valid.all()).item():
        return timed
    is_neither = pl.all_horizontal(pl.col(name).is_null() for name in (*_QUOTE, "price"))
    neither = pl.when(is_neither).then(pl.lit(NEITHER_ERROR))
    errors = [
        pl.when(~is_valid(field, rules.prices)).then(pl.lit(rule_error(field, rules.prices)))
        for field in TICK_FIELDS
    ]
    ahead = pl.when(is_ahead).then(
        pl.lit("dateTime: too far ahead of the record's Kafka timestamp")
    )
    beyond = pl.when(~has_turnover()).then(pl.lit(TURNOVER_ERROR))
    return timed.with_columns(
        pl.coalesce(pl.col("error"), neither, *errors, beyond, ahead).alias("error")
    )


def positive_zeros() -> list[pl.Expr]:
    """The prices with 0.0 in place of -0.0."""
    return [pl.col(name) + 0.0 for name in (*_QUOTE, "price")]


def applicable(ticks: ValidTicks, price: Price | None) -> ValidTicks:
    """The ticks that have a price."""
    if price is None or not ticks[PRICE_FIELDS[price]].has_nulls():
        return ticks
    return ticks.filter(pl.col(PRICE_FIELDS[price]).is_not_null())


def measures(price: Price) -> list[pl.Expr]:
    """What candles are made of: the columns price, traded_volume and turnover of valid ticks."""
    nothing = pl.lit(0, DECIMAL)
    if price == "trade":
        volume, turnover = pl.col("size").fill_null(1), pl.col("turnover")
    else:
        volume = turnover = nothing
    return [
        pl.col(PRICE_FIELDS[price]).alias("price"),
        volume.alias("traded_volume"),
        turnover.alias("turnover"),
    ]
