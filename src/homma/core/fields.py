"""Every field of a tick and of a candle, once.

Schemas, merges, codecs, tables, SQL, the API and the page derive from these rows. A new field is a
row here, its meaning in the code that computes it, and a golden case. Rows are looked up by name;
their order is that of a record's JSON.
"""

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from homma.core.decimals import DECIMAL, PRICE_BOUND

Kind = Literal["string", "double", "decimal", "long", "int", "boolean", "instant"]
#: What a tick is, and what the ticks of a candle are. A tick may be both.
TickKind = Literal["quote", "trade"]
#: Which prices are valid: those above 0, or those of any sign.
Prices = Literal["positive", "any"]
#: How two candles become one in a field. First and last go by the order key, not by arrival.
Merge = Literal["first", "last", "max", "min", "sum"]

_DTYPES: Final[dict[Kind, pl.DataType]] = {
    "string": pl.String(),
    "double": pl.Float64(),
    "decimal": DECIMAL,
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
    where an optional field is missing. A field `of` a quote or a trade is absent in other ticks;
    one that is `required_of` them is in each of them. `any_rule` and `is_valid_of_any` take the
    place of `rule` and `is_valid` where prices may have any sign. `since` is the format version
    that added the field, as for candles.
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
    of: TickKind | None = None
    required_of: TickKind | None = None
    any_rule: str = ""
    is_valid_of_any: pl.Expr | None = None

    @property
    def json_dtype(self) -> pl.DataType:
        """The type that the JSON parser reads the field as: a text if it has none of its own."""
        return pl.String() if self.kind in ("instant", "decimal") else _DTYPES[self.kind]

    @property
    def dtype(self) -> pl.DataType:
        """The type of the field in parsed ticks, where an instant is a text."""
        return pl.String() if self.kind == "instant" else _DTYPES[self.kind]

    def rule_for(self, prices: Prices) -> str:
        """The rule in words."""
        return self.any_rule if prices == "any" and self.any_rule else self.rule

    def is_valid_for(self, prices: Prices) -> pl.Expr:
        """Whether a value follows the rule; null if the value is."""
        if prices == "any" and self.is_valid_of_any is not None:
            return self.is_valid_of_any
        return self.is_valid


@dataclass(frozen=True, slots=True)
class CandleField:
    """A field of a candle.

    `json` names the field in a record, `column` in frames and in the lake. A field with a `merge`
    depends on the ticks: `of_tick` is its value in a candle of one tick. A field `of` quotes or
    trades is only in records of candles of these; core's frames have all fields, and those of
    trades are 0 where quotes are counted. `digits` counts an
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
    of_tick: Literal["price", "one", "traded_volume", "turnover"] | None = None
    of: TickKind | None = None
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
        """The type that the JSON parser reads the field as: a text if it has none of its own."""
        return pl.String() if self.kind in ("instant", "decimal") else _DTYPES[self.kind]


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


def _quote_price(json: str, meaning: str) -> TickField:
    price = pl.col(json)
    return TickField(
        json,
        json,
        "double",
        False,
        meaning,
        "required in a quote, a finite number above 0",
        price.is_finite() & (price > 0),
        of="quote",
        required_of="quote",
        any_rule="required in a quote, a finite number",
        is_valid_of_any=price.is_finite(),
    )


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
    _name("source", "broker or exchange that sent the tick"),
    _name("symbol", "instrument that was quoted or traded"),
    _quote_price("ask", "ask price"),
    _quote_price("bid", "bid price"),
    _quote_price("mid", "mid price"),
    TickField(
        "price",
        "price",
        "double",
        False,
        "traded price",
        "required in a trade, a number above 0 and below 10^12",
        (pl.col("price") > 0) & (pl.col("price") < PRICE_BOUND),
        since=3,
        of="trade",
        required_of="trade",
        any_rule="required in a trade, a number between -10^12 and 10^12",
        is_valid_of_any=pl.col("price").abs() < PRICE_BOUND,
    ),
    TickField(
        "size",
        "size",
        "decimal",
        False,
        "traded size; counts as 1 if absent",
        "a decimal from 0 with up to 18 digits before the point and 12 after it, of a trade",
        # The parser sets a text that is no such decimal aside.
        pl.col("price").is_not_null(),
        since=3,
        of="trade",
    ),
    TickField(
        "side",
        "side",
        "string",
        False,
        "side of the taker of a trade: buy or sell",
        "buy or sell, of a trade",
        # Faster than `is_in`.
        ((pl.col("side") == "buy") | (pl.col("side") == "sell")) & pl.col("price").is_not_null(),
        since=3,
        of="trade",
    ),
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
        "when the source's gateway received the tick",
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
        of="quote",
        public=True,
    ),
    CandleField(
        "volume",
        "traded_volume",
        "decimal",
        False,
        "Traded size, exact, if the candle is made of trades.",
        "size",
        "sum",
        "traded_volume",
        of="trade",
        since=3,
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
        "turnover",
        "turnover",
        "decimal",
        False,
        "Sum of price times size over the trades, exact. Only in candles of trades.",
        "price times size",
        "sum",
        "turnover",
        of="trade",
        in_every_record=False,
        since=3,
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

#: The fields of trades, which are null in tables and absent in records of quotes.
TRADED: Final = tuple(field for field in CANDLE_FIELDS if field.of == "trade")


def record_fields(kind: TickKind, version: int) -> tuple[CandleField, ...]:
    """The fields of a candle record of a format, in order; of candles of quotes or of trades."""
    return tuple(f for f in CANDLE_FIELDS if f.of in (None, kind) and f.since <= version)


#: The fields that depend on a candle's ticks and that core's frames hold under their own names.
VALUE_FIELDS: Final = tuple(field for field in CANDLE_FIELDS if field.merge)
VALUES: Final = tuple(field.column for field in VALUE_FIELDS)
