"""The rules of valid ticks in SQL, and the types that ticks are read as. Pure.

The prices that the candles are made of are read as numbers: a tick without them is left out,
whether it is invalid or has another price. Optional fields are read as texts, because an invalid
value would be null, as if it were absent.
"""

from collections.abc import Iterator
from typing import Final

from homma.core.decimals import PRICE_BOUND
from homma.core.fields import (
    INSTANT_PATTERN,
    NAME_PATTERN,
    TICK_FIELDS,
    Prices,
    TickField,
    TickKind,
)
from homma.flink import traded
from homma.flink.sql_types import FLINK_TYPES, quoted

_LARGEST: Final = "1.7976931348623157E308"
_QUOTE: Final = tuple(field for field in TICK_FIELDS if field.required_of == "quote")
[_PRICE] = (field for field in TICK_FIELDS if field.required_of == "trade")


def read_type(field: TickField, kind: TickKind) -> str:
    """The type that a field is read as where candles are made of quotes or of trades."""
    return FLINK_TYPES[field.kind if field.required or field.required_of == kind else "string"]


def tick_rules(kind: TickKind, prices: Prices) -> Iterator[str]:
    """The rules of ticks of a kind, which may be of the other kind, too."""
    for field in TICK_FIELDS:
        if field == _QUOTE[0]:
            yield from _quote_rules(kind, prices)
        elif field == _PRICE:
            yield from _trade_rules(kind, prices)
        elif field.of is None:
            rule = _rule(field)
            yield rule if field.required else f"(`{field.json}` IS NULL OR ({rule}))"


def _quote_rules(kind: TickKind, prices: Prices) -> Iterator[str]:
    rules = [_price_rule(field, kind, prices) for field in _QUOTE]
    if kind == "quote":
        yield from rules
    else:
        absent = " AND ".join(f"`{field.json}` IS NULL" for field in _QUOTE)
        yield f"(({absent}) OR ({' AND '.join(rules)}))"


def _trade_rules(kind: TickKind, prices: Prices) -> Iterator[str]:
    price = _price_rule(_PRICE, kind, prices)
    size = f"(`size` IS NULL OR {traded.is_size('`size`')})"
    side = "(`side` IS NULL OR `side` IN ('buy', 'sell'))"
    has_turnover = traded.has_turnover(_number(_PRICE, kind), "`size`")
    # CASE computes the turnover only of valid factors.
    rule = f"{side} AND CASE WHEN {price} AND {size} THEN {has_turnover} ELSE FALSE END"
    absent = "`price` IS NULL AND `size` IS NULL AND `side` IS NULL"
    yield rule if kind == "trade" else f"(({absent}) OR ({rule}))"


def _number(field: TickField, kind: TickKind) -> str:
    column = f"`{field.json}`"
    is_number = read_type(field, kind) == FLINK_TYPES[field.kind]
    return column if is_number else f"TRY_CAST({column} AS DOUBLE)"


def _price_rule(field: TickField, kind: TickKind, prices: Prices) -> str:
    price = _number(field, kind)
    bound = f"< {PRICE_BOUND:.0E}" if field == _PRICE else f"<= {_LARGEST}"
    return f"ABS({price}) {bound}" if prices == "any" else f"{price} > 0 AND {price} {bound}"


def _rule(field: TickField) -> str:
    """The rule of a field of all ticks."""
    column = f"`{field.json}`"
    match field.kind:
        case "decimal":
            return traded.is_size(column)
        case "string":
            return f"REGEXP({column}, {_pattern(NAME_PATTERN)})"
        case "double":
            return f"ABS(TRY_CAST({column} AS DOUBLE)) <= {_LARGEST}"
        case "long" | "int":
            return f"{column} >= 0"
        case "instant":
            # Flink parses February 30 as February 28: comparing the formatted date rejects it.
            return f"REGEXP({column}, {_pattern(INSTANT_PATTERN)}) AND {_dated(column)}"
        case "boolean":
            return f"{column} IN ('true', 'false')"


def _pattern(pattern: str) -> str:
    """A pattern as a literal; Java's `$` would accept a newline at the end."""
    return quoted(pattern.removesuffix("$") + r"\z")


def instant(text: str) -> str:
    """The instant of a valid text."""
    return f"TRY_CAST(REPLACE(REPLACE({text}, 'T', ' '), 'Z', '') AS TIMESTAMP(6))"


def _dated(text: str) -> str:
    """Whether the date exists and is not before 1970."""
    formatted = f"SUBSTRING(CAST({instant(text)} AS STRING) FROM 1 FOR 19)"
    return f"{formatted} = SUBSTRING(REPLACE({text}, 'T', ' ') FROM 1 FOR 19) AND {text} >= '1970'"
