"""A candle as readers of the topics have it: parsed from a record, or read from the lake. Pure."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from homma.core.decimals import BOUND, FRACTION_DIGITS
from homma.core.fields import CANDLE_FIELDS, CandleField, Kind
from homma.topics.codec import strip_schema_id

#: No tick outside these years is valid, and time can be added to every date between them.
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9999
#: (source, symbol)
SeriesKey = tuple[str, str]

#: The fields in a candle's `values`: all that are public, without the start.
PUBLIC_VALUES: Final = tuple(f for f in CANDLE_FIELDS if f.public and f.json != "dateTime")
_INDEX: Final = {field.column: index for index, field in enumerate(PUBLIC_VALUES)}
#: Of the fields that older records lack: the index, and that of the field with the same value.
_SAME_VALUES: Final = tuple(
    (_INDEX[field.column], _INDEX[field.if_absent]) for field in PUBLIC_VALUES if field.if_absent
)
# A record of a candle of trades has this field.
_TURNOVER: Final = b'"turnover"'
T = TypeVar("T")


def may_be_null(field: CandleField) -> bool:
    """Whether a candle may have no value of a field, because its engine does not record it."""
    return not field.in_every_record and not field.if_absent


class _Value(Generic[T]):
    """An attribute of a candle that reads one of its `values`."""

    def __init__(self, column: str) -> None:
        self._index = _INDEX[column]

    def __get__(self, candle: "Candle", owner: type) -> T:
        value: T = candle.values[self._index]
        return value


@dataclass(frozen=True, slots=True)
class Candle:
    """A candle from a record. `start` is UTC, and `text` is the record's value.

    `values` has the PUBLIC_VALUES in their order. `is_final` and `revision` are None if another
    engine wrote the record.
    """

    series: SeriesKey
    start: datetime
    values: tuple[Any, ...]
    text: bytes

    open = _Value[float]("open")
    high = _Value[float]("high")
    low = _Value[float]("low")
    close = _Value[float]("close")
    #: The traded size if the candle is made of trades, else the number of ticks.
    volume = _Value[int | Decimal]("volume")
    tick_count = _Value[int]("tick_count")
    #: Price times size of all trades; None if the candle is made of quotes.
    turnover = _Value[Decimal | None]("turnover")
    is_final = _Value[bool | None]("is_final")
    revision = _Value[int | None]("revision")

    @property
    def source(self) -> str:
        """The source of the ticks."""
        return self.series[0]

    @property
    def symbol(self) -> str:
        """The symbol of the instrument."""
        return self.series[1]


def read_candle(value: bytes) -> Candle | None:
    """Parse a record's value; None if the value is not a candle."""
    value = strip_schema_id(value)
    try:
        # Decimals are exact, and slower, so only candles of trades are read with them.
        fields = json.loads(value, parse_float=Decimal if _TURNOVER in value else float)
        get = fields.get
        series = str(fields["source"]), str(fields["symbol"])
        start = _instant(fields["dateTime"])
        values = complete([read(get(name)) for name, read in _READERS])
        if values[_INDEX["turnover"]] is not None and type(get("tickCount")) is not int:
            return None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
    # JSON has no infinity, but Python's parser does.
    return Candle(series, start, values, value) if math.isfinite(sum(_doubles(values))) else None


def exact(value: Decimal) -> int | Decimal:
    """A sum over trades, as an integer if it is whole. Raises ValueError if it can be no sum."""
    # With an exponent, a short text can be a number of millions of digits.
    if not abs(value) < BOUND or int(value.as_tuple().exponent) < -FRACTION_DIGITS:
        raise ValueError("no sum of decimals")
    return int(value) if value == value.to_integral_value() else value


def _volume(value: Any) -> int | Decimal:
    """The volume of a candle: of quotes a number of ticks, of trades an exact size."""
    return exact(value) if isinstance(value, Decimal) else int(value)


def _optional_decimal(value: Any) -> Decimal | None:
    is_number = type(value) is int or isinstance(value, Decimal)
    return Decimal(exact(Decimal(value))) if is_number else None


def complete(values: list[Any]) -> tuple[Any, ...]:
    """PUBLIC_VALUES of any format version as the current version has them."""
    for index, other in _SAME_VALUES:
        # Of two equal numbers, one is stored.
        if values[index] is None or values[index] == values[other]:
            values[index] = values[other]
    return tuple(values)


def newest_tick_time(value: bytes) -> datetime | None:
    """The event time of the newest tick in a candle; None if absent or outside 1970 to 9998."""
    try:
        event_time = _instant(json.loads(strip_schema_id(value))["closeDateTime"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return event_time if _FIRST_YEAR <= event_time.year < _LAST_YEAR else None


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _typed(value: Any, kind: type[Any]) -> Any:
    return value if type(value) is kind else None


def _optional_double(value: Any) -> float | None:
    is_number = type(value) in (int, float) and math.isfinite(value)
    return float(value) if is_number else None


def _optional_instant(value: Any) -> datetime | None:
    return None if value is None else _instant(value)


_REQUIRED: Final[dict[Kind, Callable[[Any], Any]]] = {
    "string": str,
    "double": float,
    "long": int,
    "int": int,
    "boolean": bool,
    "instant": _instant,
    "decimal": Decimal,
}
_OPTIONAL: Final[dict[Kind, Callable[[Any], Any]]] = {
    "string": partial(_typed, kind=str),
    "double": _optional_double,
    "long": partial(_typed, kind=int),
    "int": partial(_typed, kind=int),
    "boolean": partial(_typed, kind=bool),
    "instant": _optional_instant,
    "decimal": _optional_decimal,
}
#: The name of each of the PUBLIC_VALUES in a record, and how its value is read.
_READERS: Final = tuple(
    (
        field.json,
        _volume
        if field.column == "volume"
        else (_REQUIRED if field.in_every_record else _OPTIONAL)[field.kind],
    )
    for field in PUBLIC_VALUES
)
_doubles: Final = itemgetter(
    *(n for n, f in enumerate(PUBLIC_VALUES) if f.kind == "double" and f.in_every_record)
)
