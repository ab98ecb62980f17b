"""JSON Schemas of what is in the topics: made from the rules in core and the codec's columns.

Pure. A schema says less than the contract where JSON Schema cannot say more: that a date exists
(30 February), that a whole number is written without a fraction, which of a repeated key counts,
how far ahead of its record a tick is dated. What a schema refuses, homma refuses too.
"""

import re
from typing import Any, Final

from homma.core.tick import FIELDS, INSTANT_PATTERN, NAME_PATTERN, Field
from homma.topics.codec import CANDLE_JSON

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_INT64: Final = (1 << 63) - 1
_INT32: Final = (1 << 31) - 1
# A larger number would be infinite as an IEEE double.
_LARGEST: Final = 1.7976931348623157e308
#: Which digits can be a date at all. Ends with the seconds, which INSTANT_PATTERN covers.
_CALENDAR: Final = (
    "^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "T([01][0-9]|2[0-3]):[0-5][0-9]:"
)
_FRACTION: Final = r"(\.[0-9]{1,6})?Z?"


def _name() -> Schema:
    """The rule for source and symbol, from core's pattern."""
    found = re.fullmatch(r"\^\[\^(.+)\]\{([0-9]+),([0-9]+)\}\$", NAME_PATTERN)
    assert found is not None
    # Not every dialect of regular expressions knows \p. What is forbidden is searched for: an
    # anchored pattern would let a last newline pass in some of them.
    forbidden = found[1].replace(r"\p{Cc}", r"\u0000-\u001f\u007f-\u009f")
    return {
        "minLength": int(found[2]),
        "maxLength": int(found[3]),
        "not": {"type": "string", "pattern": f"[{forbidden}]"},
    }


def _instant(fraction: str) -> Schema:
    """A date and time, UTC; `fraction` is what follows the seconds."""
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
# A number or a boolean is taken as its text.
_TICK_NAME: Final[Schema] = {"type": ["string", "number", "boolean"], **_name()}

_TICK: Final[dict[str, Schema]] = {
    "source": _TICK_NAME,
    "symbol": _TICK_NAME,
    "ask": _PRICE,
    "bid": _PRICE,
    "mid": _PRICE,
    "number": _WHOLE,
    "dateTime": _instant(_FRACTION),
    "receiveDateTime": _instant(_FRACTION),
    "askMarkup": _NUMBER,
    "bidMarkup": _NUMBER,
    "isTradable": {"type": "boolean"},
}

_CANDLE_NAME: Final[Schema] = {"type": "string", **_name()}
_START: Final = _instant(r"\.[0-9]{3}")
_PLACE: Final = _instant(r"\.[0-9]{6}")
#: Field by field: its schema and what it means.
_CANDLE: Final[dict[str, tuple[Schema, str]]] = {
    "source": (_CANDLE_NAME, "where the ticks come from; with the symbol it names the series"),
    "symbol": (_CANDLE_NAME, "the instrument"),
    "dateTime": (_START, "the interval's start, UTC"),
    "open": (_PRICE, "price of the tick with the smallest (dateTime, number)"),
    "high": (_PRICE, "the largest price"),
    "low": (_PRICE, "the smallest price"),
    "close": (_PRICE, "price of the tick with the largest (dateTime, number)"),
    "volume": ({**_WHOLE, "minimum": 1}, "count of ticks, duplicates once"),
    "openDateTime": (_PLACE, "dateTime of the tick that gave the open"),
    "openNumber": (_WHOLE, "number of the tick that gave the open"),
    "closeDateTime": (_PLACE, "dateTime of the tick that gave the close"),
    "closeNumber": (_WHOLE, "number of the tick that gave the close"),
    "isFinal": ({"type": "boolean"}, "the interval is over; never goes back to false"),
    "revision": (
        {"type": "integer", "minimum": 0, "maximum": _INT32},
        "0 while open, 1 when first final, one more with every correction",
    ),
    "updateDateTime": (_PLACE, "the engine's wall clock when it wrote the record, UTC"),
}
#: What engines without a state of their own cannot know.
_MAY_LACK: Final = ("isFinal", "revision", "updateDateTime")


def tick() -> Schema:
    """The value of a record in the topic of ticks."""
    return {
        "$schema": DIALECT,
        "title": "tick",
        "description": "The value of a record in stock_ticks. Fields that are not named here are "
        "ignored; null is the same as absent.",
        "type": "object",
        "required": [field.name for field in FIELDS if field.required],
        "properties": {field.name: _of_field(field) for field in FIELDS},
        "additionalProperties": True,
    }


def _of_field(field: Field) -> Schema:
    schema = _TICK[field.name] if field.required else _or_null(_TICK[field.name])
    return {"description": field.rule, **schema}


def candle() -> Schema:
    """The value of a record in the topics of candles."""
    return {
        "$schema": DIALECT,
        "title": "candle",
        "description": "The value of a record in candle_1min to candle_1month. The newest record "
        "of a key is the candle; one without a value (a tombstone) says that there is none. "
        "homma writes all fields; other engines may leave out what is not required.",
        "type": "object",
        "required": [name for name in CANDLE_JSON if name not in _MAY_LACK],
        "properties": {name: _candle_field(name) for name in CANDLE_JSON},
        # An open candle has no revisions; a final one is in its first or a later one.
        "if": {"properties": {"isFinal": {"const": False}}, "required": ["isFinal"]},
        "then": {"properties": {"revision": {"enum": [0, None]}}},
        "else": {
            "if": {"properties": {"isFinal": {"const": True}}, "required": ["isFinal"]},
            "then": {"properties": {"revision": {"type": ["integer", "null"], "minimum": 1}}},
        },
        "additionalProperties": True,
    }


def _candle_field(name: str) -> Schema:
    schema, meaning = _CANDLE[name]
    return {"description": meaning, **(_or_null(schema) if name in _MAY_LACK else schema)}


def candle_key() -> Schema:
    """The key of a candle record as homma writes it; other engines may write other keys."""
    names = ("source", "symbol", "dateTime")
    return {
        "$schema": DIALECT,
        "title": "key of a candle",
        "description": "JSON without spaces, the fields in this order, non-ASCII unescaped. "
        "Readers take source, symbol and dateTime from the value instead.",
        "type": "object",
        "required": list(names),
        "properties": {name: _candle_field(name) for name in names},
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    kind = schema["type"]
    return {**schema, "type": [*([kind] if isinstance(kind, str) else kind), "null"]}
