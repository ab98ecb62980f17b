"""Every field of a tick and of a candle, once.

Schemas, merges, codecs, tables, SQL, the API and the page derive from these rows. A new field is a
row here, its meaning in the code that computes it, and a golden case. Rows are looked up by name;
their order is that of a record's JSON.
"""

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

Kind = Literal["string", "double", "long", "int", "boolean", "instant"]
#: How two candles become one in a field. First and last go by the order key, not by arrival.
Merge = Literal["first", "last", "max", "min", "sum"]

_DTYPES: Final[dict[Kind, pl.DataType]] = {
    "string": pl.String(),
    "double": pl.Float64(),
    "long": pl.Int64(),
    "int": pl.Int32(),
    "boolean": pl.Boolean(),
    "instant": pl.Int64(),
}

NAME_PATTERN: Final = r'^[^\p{Cc}"\\{}\[\]]{1,64}$'
INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?$"
)


@dataclass(frozen=True, slots=True)
class TickField:
    """A field of a tick: its names, its type, and its rule in words and as an expression.

    `json` names the field in a record, `column` in the lake. `absent` is what the lake stores
    where an optional field is missing. `since` is the format version that added the field, as for
    candles.
    """

    json: str
    column: str
    kind: Kind
    required: bool
    meaning: str
    rule: str
    is_valid: pl.Expr
    absent: float | bool | None = None
    since: int = 1

    @property
    def json_dtype(self) -> pl.DataType:
        """The type of the field in parsed JSON, where an instant is a text."""
        return pl.String() if self.kind == "instant" else _DTYPES[self.kind]


@dataclass(frozen=True, slots=True)
class CandleField:
    """A field of a candle.

    `json` names the field in a record, `column` in frames and in the lake. A field with a `merge`
    depends on the ticks: `of_tick` is its value in a candle of one tick. `digits` counts an
    instant's fractional digits in JSON. A field that is not `in_every_record` is absent or null in
    records of other engines or of older formats; one that is not `required` may be null in the
    lake. `if_absent` is the column that has the same value where this one is missing. `since` is
    the format version that added the field; that of a new field is the next version, with which
    `homma land` adds its column to existing tables. The HTTP API and the page show the fields that
    are `public`.
    """

    json: str
    column: str
    kind: Kind
    required: bool
    meaning: str
    unit: str = ""
    merge: Merge | None = None
    of_tick: Literal["price", "one"] | None = None
    digits: Literal[3, 6] = 6
    in_every_record: bool = True
    if_absent: str = ""
    since: int = 1
    public: bool = False

    @property
    def dtype(self) -> pl.DataType:
        """The type of the field's column in core's frames."""
        return _DTYPES[self.kind]

    @property
    def json_dtype(self) -> pl.DataType:
        """The type of the field in parsed JSON, where an instant is a text."""
        return pl.String() if self.kind == "instant" else _DTYPES[self.kind]


def _name(json: str, meaning: str) -> TickField:
    return TickField(
        json,
        json,
        "string",
        True,
        meaning,
        'required, 1 to 64 characters, no control character and none of " \\ { } [ ]',
        pl.col(json).str.contains(NAME_PATTERN),
    )


def _price(json: str, meaning: str) -> TickField:
    is_valid = pl.col(json).is_finite() & (pl.col(json) > 0)
    rule = "required, a finite number above 0"
    return TickField(json, json, "double", True, meaning, rule, is_valid)


def _instant(json: str, column: str, us: str, meaning: str, *, required: bool) -> TickField:
    rule = "YYYY-MM-DDTHH:MM:SS with up to 6 fractional digits, UTC, from 1970"
    # `tick.check` has already written the microseconds to the column `us`.
    is_valid = pl.col(json).str.contains(INSTANT_PATTERN) & (pl.col(us) >= 0)
    rule = f"required, {rule}" if required else rule
    return TickField(json, column, "instant", required, meaning, rule, is_valid)


def _markup(json: str, column: str, meaning: str) -> TickField:
    is_valid = pl.col(json).is_finite()
    return TickField(json, column, "double", False, meaning, "a number", is_valid, absent=0.0)


TICK_FIELDS: Final = (
    _name("source", "broker or exchange that quoted"),
    _name("symbol", "instrument that was quoted"),
    _price("ask", "ask price"),
    _price("bid", "bid price"),
    _price("mid", "mid price"),
    TickField(
        "number",
        "number",
        "long",
        True,
        "sequence number; grows with time within a source",
        "required, a whole number from 0 below 2^63",
        pl.col("number") >= 0,
    ),
    _instant("dateTime", "date_time", "event_us", "event time", required=True),
    _instant(
        "receiveDateTime",
        "receive_date_time",
        "receive_us",
        "when the source's gateway received the quote",
        required=False,
    ),
    _markup("askMarkup", "ask_markup", "markup on the ask price; 0 if absent"),
    _markup("bidMarkup", "bid_markup", "markup on the bid price; 0 if absent"),
    TickField(
        "isTradable",
        "is_tradable",
        "boolean",
        False,
        "whether the quote was tradable",
        "true or false",
        pl.lit(value=True),
        absent=True,
    ),
)


def _value(name: str, merge: Merge, meaning: str) -> CandleField:
    return CandleField(
        name, name, "double", True, meaning, "price", merge, of_tick="price", public=True
    )


CANDLE_FIELDS: Final = (
    CandleField(
        "source",
        "source",
        "string",
        True,
        "Source of the ticks. Source and symbol identify the series.",
    ),
    CandleField("symbol", "symbol", "string", True, "Symbol of the instrument."),
    CandleField(
        "dateTime",
        "date_time",
        "instant",
        True,
        "Start of the interval, UTC.",
        digits=3,
        public=True,
    ),
    _value("open", "first", "Price of the first tick, ordered by dateTime, then number."),
    _value("high", "max", "Highest price."),
    _value("low", "min", "Lowest price."),
    _value("close", "last", "Price of the last tick, ordered by dateTime, then number."),
    CandleField(
        "volume",
        "volume",
        "long",
        True,
        "Number of ticks. Duplicates count once.",
        "ticks",
        "sum",
        "one",
        public=True,
    ),
    CandleField(
        "tickCount",
        "tick_count",
        "long",
        False,
        "Number of ticks. Duplicates count once.",
        "ticks",
        "sum",
        "one",
        in_every_record=False,
        if_absent="volume",
        since=2,
        public=True,
    ),
    CandleField(
        "openDateTime", "open_date_time", "instant", False, "dateTime of the first tick, UTC."
    ),
    CandleField("openNumber", "open_number", "long", False, "number of the first tick."),
    CandleField(
        "closeDateTime", "close_date_time", "instant", False, "dateTime of the last tick, UTC."
    ),
    CandleField("closeNumber", "close_number", "long", False, "number of the last tick."),
    CandleField(
        "isFinal",
        "is_final",
        "boolean",
        True,
        "Whether the watermark of the series has passed the end of the interval. Never changes "
        "back to false.",
        in_every_record=False,
        public=True,
    ),
    CandleField(
        "revision",
        "revision",
        "int",
        False,
        "0 while the candle is open, 1 when it becomes final, plus 1 for each correction.",
        in_every_record=False,
        public=True,
    ),
    CandleField(
        "updateDateTime",
        "update_date_time",
        "instant",
        False,
        "Wall-clock time at which the engine wrote the record, UTC.",
        in_every_record=False,
    ),
)

#: The fields that depend on a candle's ticks and that core's frames hold under their own names.
VALUE_FIELDS: Final = tuple(field for field in CANDLE_FIELDS if field.merge)
VALUES: Final = tuple(field.column for field in VALUE_FIELDS)


def merged(field: CandleField) -> pl.Expr:
    """The expression that merges a field's column over candles with the same key."""
    column = pl.col(field.column)
    match field.merge:
        case "first":
            return column.min_by("open_order_key")
        case "last":
            return column.max_by("close_order_key")
        case "max":
            return column.max()
        case "min":
            return column.min()
        case _:
            return column.sum()


def of_ticks(field: CandleField) -> pl.Expr:
    """The expression that computes a field over ticks (columns price, order_key)."""
    if field.of_tick == "one":
        return pl.len().cast(field.dtype).alias(field.column)
    price = pl.col("price")
    match field.merge:
        case "first":
            expression = price.min_by("order_key")
        case "last":
            expression = price.max_by("order_key")
        case "max":
            expression = price.max()
        case _:
            expression = price.min()
    return expression.alias(field.column)


def of_one_tick(field: CandleField) -> pl.Expr:
    """A field of a candle that consists of one tick (column price)."""
    expression = pl.col("price") if field.of_tick == "price" else pl.lit(1, field.dtype)
    return expression.alias(field.column)
