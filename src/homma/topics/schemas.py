"""JSON Schemas of the records in the topics, derived from the rules in core and the codec. Pure.

homma rejects every tick that the tick schema rejects. It also checks rules that JSON Schema cannot
express: that a date exists (30 February does not), that an integer has no fraction part such as
`1.0`, that the first of a repeated key counts, and how far a tick's date may be ahead of the
timestamp of its record.
"""

import re
from typing import Any, Final

from homma.core.tick import FIELDS, INSTANT_PATTERN, NAME_PATTERN, Field
from homma.topics.codec import CANDLE_JSON

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
# A number or a boolean is read as its text.
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
_TICK_TIME: Final = _instant(r"\.[0-9]{6}")
#: The schema and the description of each field.
_CANDLE: Final[dict[str, tuple[Schema, str]]] = {
    "source": (_CANDLE_NAME, "Source of the ticks. Source and symbol identify the series."),
    "symbol": (_CANDLE_NAME, "Symbol of the instrument."),
    "dateTime": (_START, "Start of the interval, UTC."),
    "open": (_PRICE, "Price of the first tick, ordered by dateTime, then number."),
    "high": (_PRICE, "Highest price."),
    "low": (_PRICE, "Lowest price."),
    "close": (_PRICE, "Price of the last tick, ordered by dateTime, then number."),
    "volume": ({**_WHOLE, "minimum": 1}, "Number of ticks. Duplicates count once."),
    "openDateTime": (_TICK_TIME, "dateTime of the first tick, UTC."),
    "openNumber": (_WHOLE, "number of the first tick."),
    "closeDateTime": (_TICK_TIME, "dateTime of the last tick, UTC."),
    "closeNumber": (_WHOLE, "number of the last tick."),
    "isFinal": (
        {"type": "boolean"},
        "Whether the watermark of the series has passed the end of the interval. Never changes "
        "back to false.",
    ),
    "revision": (
        {"type": "integer", "minimum": 0, "maximum": _INT32},
        "0 while the candle is open, 1 when it becomes final, plus 1 for each correction.",
    ),
    "updateDateTime": (_TICK_TIME, "Wall-clock time at which the engine wrote the record, UTC."),
}
#: Fields that engines without their own state cannot provide.
_OPTIONAL: Final = ("isFinal", "revision", "updateDateTime")


def tick() -> Schema:
    """The schema of a tick record's value."""
    return {
        "$schema": DIALECT,
        "title": "tick",
        "description": "Value of a record in stock_ticks. Unknown fields are ignored. A null "
        "field counts as absent.",
        "type": "object",
        "required": [field.name for field in FIELDS if field.required],
        "properties": {field.name: _of_field(field) for field in FIELDS},
        "additionalProperties": True,
    }


def _of_field(field: Field) -> Schema:
    schema = _TICK[field.name] if field.required else _or_null(_TICK[field.name])
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
        "required": [name for name in CANDLE_JSON if name not in _OPTIONAL],
        "properties": {name: _candle_field(name) for name in CANDLE_JSON},
        # The revision of an open candle is 0; that of a final candle is at least 1.
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
    return {"description": meaning, **(_or_null(schema) if name in _OPTIONAL else schema)}


def candle_key() -> Schema:
    """The schema of the candle keys that homma writes. Other engines may write other keys."""
    names = ("source", "symbol", "dateTime")
    return {
        "$schema": DIALECT,
        "title": "candle key",
        "description": "Key of a candle record. JSON without spaces, with the fields in this order "
        "and non-ASCII characters unescaped. Consumers should read source, symbol and dateTime "
        "from the value, because other engines may write other keys.",
        "type": "object",
        "required": list(names),
        "properties": {name: _candle_field(name) for name in names},
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    kind = schema["type"]
    return {**schema, "type": [*([kind] if isinstance(kind, str) else kind), "null"]}
