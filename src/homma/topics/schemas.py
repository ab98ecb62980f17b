"""JSON Schemas of the records in the topics, derived from the rules in core and the codec. Pure.

homma rejects every tick that the tick schema rejects. It also checks rules that JSON Schema cannot
express: that a date exists (30 February does not), that an integer has no fraction part such as
`1.0`, that the first of a repeated key counts, how many digits a size has, that price times size is
below 10^26, and how far a tick's date may be ahead of the timestamp of its record. The schema has
positive prices; with `prices=any` they may have any sign.
"""

import re
from typing import Any, Final

from homma.core.decimals import PRICE_BOUND
from homma.core.fields import (
    CANDLE_FIELDS,
    INSTANT_PATTERN,
    NAME_PATTERN,
    TICK_FIELDS,
    CandleField,
    Kind,
    TickField,
)
from homma.topics.codec import CANDLE_KEY

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_INT64: Final = (1 << 63) - 1
_INT32: Final = (1 << 31) - 1
# A larger number would be infinite as a 64-bit float.
_LARGEST: Final = 1.7976931348623157e308
#: The ranges of year to minute. INSTANT_PATTERN covers the seconds.
_CALENDAR: Final = (
    "^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "T([01][0-9]|2[0-3]):[0-5][0-9]:"
)
_FRACTION: Final = r"(\.[0-9]{1,6})?Z?"


def _name() -> Schema:
    """The rule for source and symbol, from core's pattern."""
    match = re.fullmatch(r"\^\[\^(.+)\]\{([0-9]+),([0-9]+)\}\$", NAME_PATTERN)
    assert match is not None
    # Not every regular expression dialect supports \p. The pattern matches the forbidden
    # characters, because in some dialects an anchored pattern accepts a trailing newline.
    forbidden = match[1].replace(r"\p{Cc}", r"\u0000-\u001f\u007f-\u009f")
    return {
        "minLength": int(match[2]),
        "maxLength": int(match[3]),
        "not": {"type": "string", "pattern": f"[{forbidden}]"},
    }


def _instant(fraction: str) -> Schema:
    """A UTC date and time. `fraction` is the pattern after the seconds."""
    assert _FRACTION in INSTANT_PATTERN
    return {
        "type": "string",
        "pattern": INSTANT_PATTERN.replace(_FRACTION, fraction),
        "allOf": [{"pattern": _CALENDAR}],
        "not": {"type": "string", "pattern": r"\s"},
    }


_PRICE: Final[Schema] = {"type": "number", "exclusiveMinimum": 0, "maximum": _LARGEST}
_WHOLE: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": _INT64}
_NUMBER: Final[Schema] = {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST}
# Exact, so it may also be written as a text. The largest one is 10^18 as a double.
_SIZE: Final[Schema] = {
    "type": ["number", "string"],
    "minimum": 0,
    "maximum": 10**18,
    "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$",
}
# A number or a boolean is read as its text.
_TICK_NAME: Final[Schema] = {"type": ["string", "number", "boolean"], **_name()}

_CANDLE_NAME: Final[Schema] = {"type": "string", **_name()}
_INT: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": _INT32}
_BOOLEAN: Final[Schema] = {"type": "boolean"}


def tick() -> Schema:
    """The schema of a tick record's value."""
    quote = [field.json for field in TICK_FIELDS if field.required_of == "quote"]
    trade = [field.json for field in TICK_FIELDS if field.required_of == "trade"]
    other = [f.json for f in TICK_FIELDS if f.of == "trade" and f.json not in trade]
    return {
        "$schema": DIALECT,
        "title": "tick",
        "description": "Value of a record in stock_ticks. Unknown fields are ignored. A null "
        "field counts as absent.",
        "type": "object",
        "required": [field.json for field in TICK_FIELDS if field.required],
        "properties": {field.json: _of_field(field) for field in TICK_FIELDS},
        # A tick is a quote, a trade, or both.
        "anyOf": [_with(quote), _with(trade)],
        "dependentSchemas": {
            **{name: {"anyOf": [_without(name), _with(quote)]} for name in quote},
            **{name: {"anyOf": [_without(name), _with(trade)]} for name in other},
        },
        "additionalProperties": True,
    }


def _with(names: list[str]) -> Schema:
    """Fields that are there and not null."""
    return {"required": names, "properties": {name: {"not": {"type": "null"}} for name in names}}


def _without(name: str) -> Schema:
    return {"properties": {name: {"type": "null"}}}


def _of_field(field: TickField) -> Schema:
    price = _NUMBER
    if field.required_of == "quote":
        price = _PRICE
    elif field.required_of == "trade":
        price = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": PRICE_BOUND}
    schemas: dict[Kind, Schema] = {
        "string": _TICK_NAME if field.required else {"enum": ["buy", "sell", None]},
        "double": price,
        "decimal": _SIZE,
        "long": _WHOLE,
        "int": _INT,
        "boolean": _BOOLEAN,
        "instant": _instant(_FRACTION),
    }
    schema = schemas[field.kind]
    if "type" in schema and not field.required:
        schema = _or_null(schema)
    return {"description": field.rule, **schema}


def candle() -> Schema:
    """The schema of a candle record's value."""
    return {
        "$schema": DIALECT,
        "title": "candle",
        "description": "Value of a record in candle_1min to candle_1month. The newest record of a "
        "key is the current candle. A record without a value (a tombstone) deletes the candle. "
        "homma writes all fields. Other engines may omit the fields that are not required.",
        "type": "object",
        "required": list(
            dict.fromkeys(field.json for field in CANDLE_FIELDS if field.in_every_record)
        ),
        "properties": {
            **{field.json: _candle_field(field) for field in CANDLE_FIELDS},
            "volume": _volume(),
        },
        # Without a turnover, the volume is the number of ticks.
        "anyOf": [
            _with(["turnover"]),
            {"properties": {"turnover": {"type": "null"}, "volume": {**_WHOLE, "minimum": 1}}},
        ],
        # The revision of an open candle is 0; that of a final candle is at least 1.
        "if": {"properties": {"isFinal": {"const": False}}, "required": ["isFinal"]},
        "then": {"properties": {"revision": {"enum": [0, None]}}},
        "else": {
            "if": {"properties": {"isFinal": {"const": True}}, "required": ["isFinal"]},
            "then": {"properties": {"revision": {"type": ["integer", "null"], "minimum": 1}}},
        },
        "additionalProperties": True,
    }


def _candle_field(field: CandleField) -> Schema:
    schemas: dict[Kind, Schema] = {
        "string": _CANDLE_NAME,
        "double": _PRICE,
        # A candle has at least one tick.
        "long": {**_WHOLE, "minimum": 1} if field.unit == "ticks" else _WHOLE,
        "decimal": {"type": "number"},
        "int": _INT,
        "boolean": _BOOLEAN,
        "instant": _instant(rf"\.[0-9]{{{field.digits}}}"),
    }
    schema = schemas[field.kind]
    return {
        "description": field.meaning,
        **(schema if field.in_every_record else _or_null(schema)),
    }


def _volume() -> Schema:
    """The schema of the volume of candles of quotes and of trades."""
    meanings = [field.meaning for field in CANDLE_FIELDS if field.json == "volume"]
    return {"description": " ".join(meanings), "type": "number", "minimum": 0}


def candle_key() -> Schema:
    """The schema of the candle keys that homma writes. Other engines may write other keys."""
    fields = [field for field in CANDLE_FIELDS if field.json in CANDLE_KEY]
    return {
        "$schema": DIALECT,
        "title": "candle key",
        "description": "Key of a candle record. JSON without spaces, with the fields in this order "
        "and non-ASCII characters unescaped. Consumers should read source, symbol and dateTime "
        "from the value, because other engines may write other keys.",
        "type": "object",
        "required": list(CANDLE_KEY),
        "properties": {field.json: _candle_field(field) for field in fields},
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    kind = schema["type"]
    return {**schema, "type": [*([kind] if isinstance(kind, str) else kind), "null"]}
