"""Tables of query parameters: how each is parsed, and how OpenAPI describes it. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from homma.core.calendar import Calendar
from homma.core.interval import MINUTE, Interval
from homma.errors import RequestRefused
from homma.topics.candle import SeriesKey

MAX_CANDLES: Final = 10_000
_MAX_SERIES: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_S: Final = 253_402_300_799
_REQUIRED: Final = object()
_NAME: Final = re.compile(r'[^\x00-\x1f\x7f-\x9f"\\{}\[\]]{1,64}')
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row. `parse` raises ValueError, whose text says which values are allowed."""

    name: str
    help: str
    parse: Callable[[str], Any]
    schema: Schema
    default: Any = _REQUIRED
    is_repeatable: bool = False

    @property
    def is_required(self) -> bool:
        """Whether a request must have the parameter."""
        return self.default is _REQUIRED and not self.is_repeatable


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError('1 to 64 characters, no control characters, none of " \\ { } [ ]')
    return text


def instant(text: str) -> datetime:
    """Parse an instant: ISO 8601, in UTC unless it has an offset, or seconds since 1970."""
    at: datetime | None
    try:
        if _INTEGER.fullmatch(text):
            at = _EPOCH + timedelta(seconds=int(text))
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        at = None
    if at is None or not _EPOCH <= at <= _EPOCH + timedelta(seconds=_LATEST_S):
        raise ValueError("a time such as 2025-03-20T14:31:00Z, or seconds since 1970")
    return at


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """A parser of whole numbers within bounds."""

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return parse


def _boolean(text: str) -> bool:
    return _choice("true", "false")(text) == "true"


def parse_series(text: str) -> SeriesKey:
    """Parse SOURCE:SYMBOL; the source ends at the first colon."""
    source, colon, symbol = text.partition(":")
    if not colon:
        raise ValueError("SOURCE:SYMBOL")
    return _name(source), _name(symbol)


def _text(text: str) -> str:
    return text


_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 64}
_INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": _LATEST_S}


def _integer_schema(minimum: int, maximum: int) -> Schema:
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


SOURCE: Final = Parameter("source", "source of the ticks", _name, _TEXT)
SYMBOL: Final = Parameter("symbol", "symbol of the ticks", _name, _TEXT)
LAST_EVENT_ID: Final = Parameter(
    "lastEventId",
    "continue the stream after this event, for clients that cannot set the Last-Event-ID header",
    _text,
    {"type": "string", "maxLength": 64},
    default="",
)

_RANGE: Final = (
    Parameter(
        "from",
        "only candles that start at this time or later; the oldest `limit` of them",
        instant,
        _INSTANT,
        default=None,
    ),
    Parameter("to", "only candles that start before this time", instant, _INSTANT, default=None),
    Parameter(
        "limit",
        "maximum number of candles",
        integer(1, MAX_CANDLES),
        _integer_schema(1, MAX_CANDLES),
        default=1000,
    ),
    Parameter(
        "fill",
        "previous: fill intervals without ticks with the last close",
        _choice("previous"),
        {"type": "string", "enum": ["previous"]},
        default=None,
    ),
    Parameter("final", "true: only final candles", _boolean, {"type": "boolean"}, default=False),
)
_CLOSES: Final = Parameter(
    "closes",
    "number of last closes per series",
    integer(0, 200),
    _integer_schema(0, 200),
    default=30,
)
_SERIES: Final = Parameter(
    "series",
    "SOURCE:SYMBOL, repeatable; default: all series",
    parse_series,
    {"type": "string", "minLength": 3, "maxLength": 129},
    is_repeatable=True,
)
UDF_SYMBOL: Final = Parameter(
    "symbol", "SOURCE:SYMBOL, or just the symbol if only one source has it", _text, _TEXT
)
UDF_SYMBOLS: Final = (UDF_SYMBOL,)
UDF_SEARCH: Final = (
    Parameter("query", "part of the name", _text, {"type": "string"}, default=""),
    Parameter(
        "type",
        "type of symbol; ignored, as there is only one",
        _text,
        {"type": "string"},
        default="",
    ),
    Parameter("exchange", "only symbols of this source", _text, {"type": "string"}, default=""),
    Parameter(
        "limit", "maximum number of symbols", integer(1, 1000), _integer_schema(1, 1000), default=30
    ),
)
_UDF_RANGE: Final = (
    Parameter("from", "seconds since 1970", integer(-_LATEST_S, _LATEST_S), _SECONDS, default=0),
    Parameter("to", "seconds since 1970, exclusive", integer(-_LATEST_S, _LATEST_S), _SECONDS),
    Parameter(
        "countback",
        "number of bars before `to`; takes precedence over `from`",
        integer(1, 1_000_000),
        _integer_schema(1, 1_000_000),
        default=None,
    ),
)


def default_interval(calendar: Calendar) -> Interval:
    """The interval of requests that name none: one minute, or the finest if that is not chosen."""
    return MINUTE if MINUTE in calendar.intervals else calendar.finest


def _named(
    name: str, help_text: str, intervals: Mapping[str, Interval], expected: str, **more: Any
) -> Parameter:
    """A parameter that chooses an interval by one of its names."""

    def parse(text: str) -> Interval:
        if text not in intervals:
            raise ValueError(expected)
        return intervals[text]

    return Parameter(name, help_text, parse, {"type": "string", "enum": list(intervals)}, **more)


def _interval(calendar: Calendar, help_text: str, **more: Any) -> Parameter:
    codes = {interval.code: interval for interval in calendar}
    differ_by_case = " (m1 is one minute, M1 one month)" if "m1" in codes else ""
    return _named("interval", help_text, codes, f"one of {' '.join(codes)}{differ_by_case}", **more)


def _resolution(calendar: Calendar) -> Parameter:
    names = {interval.resolution: interval for interval in calendar}
    names |= {alias: interval for interval in calendar for alias in interval.aliases}
    return _named("resolution", "length of the bars", names, f"one of {' '.join(names)}")


@dataclass(frozen=True, slots=True)
class CalendarParameters:
    """The parameters of the endpoints that accept an interval of the calendar."""

    candles: tuple[Parameter, ...]
    overview: tuple[Parameter, ...]
    live: tuple[Parameter, ...]
    udf_history: tuple[Parameter, ...]


def of_calendar(calendar: Calendar) -> CalendarParameters:
    """The parameters for the intervals of a calendar."""
    default = default_interval(calendar)
    optional = _interval(calendar, f"interval code; default: {default.code}", default=default)
    return CalendarParameters(
        candles=(SOURCE, SYMBOL, _interval(calendar, "interval code"), *_RANGE),
        overview=(optional, _CLOSES),
        live=(optional, _SERIES, LAST_EVENT_ID),
        udf_history=(UDF_SYMBOL, _resolution(calendar), *_UDF_RANGE),
    )


@dataclass(frozen=True, slots=True)
class RequestQuery:
    """The parsed query parameters of a request, by name."""

    values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The value of a parameter, or its default."""
        return self.values[name]


def parse_query(
    pairs: Sequence[tuple[str, str]], rows: Sequence[Parameter], *, strict: bool = True
) -> RequestQuery:
    """Parse the names and values of a query; RequestRefused names an invalid parameter.

    Unless `strict`, unknown parameters are ignored.
    """
    known = {row.name: row for row in rows}
    texts: dict[str, list[str]] = {}
    for name, text in pairs:
        if name in known:
            texts.setdefault(name, []).append(text)
        elif strict:
            raise _invalid(
                name[:64],
                "is unknown",
                f"use {', '.join(known)}" if known else "remove it, as none are allowed here",
            )
    return RequestQuery({name: _value(row, texts.get(name, [])) for name, row in known.items()})


def _value(row: Parameter, texts: Sequence[str]) -> Any:
    if row.is_repeatable:
        if len(texts) > _MAX_SERIES:
            raise _invalid(
                row.name, f"occurs {len(texts)} times", f"send it at most {_MAX_SERIES} times"
            )
        return tuple(_parse(row, text) for text in texts)
    if len(texts) > 1:
        raise _invalid(row.name, f"occurs {len(texts)} times", "send it only once")
    if not texts:
        if row.is_required:
            raise _invalid(row.name, "is missing", f"add it: {row.help}")
        return row.default
    return _parse(row, texts[0])


def _parse(row: Parameter, text: str) -> Any:
    try:
        return row.parse(text)
    except ValueError as error:
        raise _invalid(
            row.name, f"has the invalid value {text[:80]!r}", f"expected {error}"
        ) from error


def _invalid(name: str, what: str, remedy: str) -> RequestRefused:
    return RequestRefused(f"parameter {name} {what}", remedy, 400, name)
