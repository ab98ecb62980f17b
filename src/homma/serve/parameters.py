"""What may be asked, as tables: how each parameter is read, and how OpenAPI describes it. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from homma.core.interval import BY_CODE, INTERVALS
from homma.errors import RequestRefused
from homma.topics.latest import SeriesKey

MOST_CANDLES: Final = 10_000
_MOST_SERIES: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_S: Final = 253_402_300_799
_REQUIRED: Final = object()
_NAME: Final = re.compile(r'[^\x00-\x1f\x7f-\x9f"\\{}\[\]]{1,64}')
_WHOLE: Final = re.compile(r"-?[0-9]{1,15}")

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row: `read` raises ValueError with what the value may be."""

    name: str
    help: str
    read: Callable[[str], Any]
    schema: Schema
    default: Any = _REQUIRED
    many: bool = False

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is _REQUIRED and not self.many


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError('1 to 64 characters, no control characters, none of " \\ { } [ ]')
    return text


def _interval(text: str) -> int:
    if text not in BY_CODE:
        raise ValueError(f"one of {' '.join(BY_CODE)} (m1 is a minute, M1 a month)")
    return INTERVALS.index(BY_CODE[text])


def instant(text: str) -> datetime:
    """An instant, as ISO 8601 in UTC unless it says otherwise, or in seconds since 1970."""
    at: datetime | None
    try:
        if _WHOLE.fullmatch(text):
            at = _EPOCH + timedelta(seconds=int(text))
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        at = None
    if at is None or not _EPOCH <= at <= _EPOCH + timedelta(seconds=_LATEST_S):
        raise ValueError("an instant such as 2025-03-20T14:31:00Z, or seconds since 1970")
    return at


def between(least: int, most: int) -> Callable[[str], int]:
    """Reads whole numbers within bounds."""

    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def _choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return read


def _truth(text: str) -> bool:
    return _choice("true", "false")(text) == "true"


def a_series(text: str) -> SeriesKey:
    """SOURCE:SYMBOL; the source is what stands before the first colon."""
    source, colon, symbol = text.partition(":")
    if not colon:
        raise ValueError("SOURCE:SYMBOL")
    return _name(source), _name(symbol)


def _any_text(text: str) -> str:
    return text


_CODES: Final[Schema] = {"type": "string", "enum": list(BY_CODE)}
_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 64}
_WHEN: Final[Schema] = {"type": "string", "format": "date-time"}
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": _LATEST_S}


def _counted(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


SOURCE: Final = Parameter("source", "who quoted", _name, _TEXT)
SYMBOL: Final = Parameter("symbol", "what was quoted", _name, _TEXT)
INTERVAL: Final = Parameter("interval", "code of the interval", _interval, _CODES)
FINEST_INTERVAL: Final = Parameter(
    "interval", "code of the interval; m1 if left out", _interval, _CODES, default=0
)
LAST_EVENT_ID: Final = Parameter(
    "lastEventId",
    "where a stream is to go on, for clients that cannot set the header Last-Event-ID",
    _any_text,
    {"type": "string", "maxLength": 64},
    default="",
)

CANDLES: Final = (
    SOURCE,
    SYMBOL,
    INTERVAL,
    Parameter(
        "from",
        "start at this instant or later: the oldest of them are given",
        instant,
        _WHEN,
        default=None,
    ),
    Parameter("to", "start before this instant", instant, _WHEN, default=None),
    Parameter(
        "limit",
        "so many at most",
        between(1, MOST_CANDLES),
        _counted(1, MOST_CANDLES),
        default=1000,
    ),
    Parameter(
        "fill",
        "previous: the last close where an interval had no tick",
        _choice("previous"),
        {"type": "string", "enum": ["previous"]},
        default=None,
    ),
    Parameter(
        "final", "true: only candles that are over", _truth, {"type": "boolean"}, default=False
    ),
)
OVERVIEW: Final = (
    FINEST_INTERVAL,
    Parameter(
        "closes",
        "so many last closes of each series",
        between(0, 200),
        _counted(0, 200),
        default=30,
    ),
)
LIVE: Final = (
    FINEST_INTERVAL,
    Parameter(
        "series",
        "SOURCE:SYMBOL, once for each; none: all",
        a_series,
        {"type": "string", "minLength": 3, "maxLength": 129},
        many=True,
    ),
    LAST_EVENT_ID,
)

#: TradingView's resolutions, in the order of INTERVALS, and other names they have for some.
RESOLUTIONS: Final = ("1", "5", "10", "15", "30", "60", "180", "240", "1D", "1W", "1M")
_RESOLUTION: Final = {r: n for n, r in enumerate(RESOLUTIONS)} | {"D": 8, "W": 9, "M": 10}


def _resolution(text: str) -> int:
    if text not in _RESOLUTION:
        raise ValueError(f"one of {' '.join(_RESOLUTION)}")
    return _RESOLUTION[text]


UDF_SYMBOL: Final = Parameter(
    "symbol", "SOURCE:SYMBOL, or a symbol alone where one source quotes it", _any_text, _TEXT
)
UDF_SYMBOLS: Final = (UDF_SYMBOL,)
UDF_SEARCH: Final = (
    Parameter("query", "part of a name", _any_text, {"type": "string"}, default=""),
    Parameter(
        "type", "kind of symbol; there is one only", _any_text, {"type": "string"}, default=""
    ),
    Parameter("exchange", "a source", _any_text, {"type": "string"}, default=""),
    Parameter("limit", "so many at most", between(1, 1000), _counted(1, 1000), default=30),
)
UDF_HISTORY: Final = (
    UDF_SYMBOL,
    Parameter(
        "resolution",
        "length of the bars",
        _resolution,
        {"type": "string", "enum": list(_RESOLUTION)},
    ),
    Parameter("from", "seconds since 1970", between(-_LATEST_S, _LATEST_S), _SECONDS, default=0),
    Parameter("to", "seconds since 1970, not included", between(-_LATEST_S, _LATEST_S), _SECONDS),
    Parameter(
        "countback",
        "so many bars before `to`; counts more than `from`",
        between(1, 1_000_000),
        _counted(1, 1_000_000),
        default=None,
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked, by the names of its parameters."""

    values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """A parameter's value, or its default."""
        return self.values[name]


def read(
    given: Sequence[tuple[str, str]], rows: Sequence[Parameter], *, strict: bool = True
) -> Answer:
    """The values of parameters as they stand in a query; Refused names the one that is wrong."""
    known = {row.name: row for row in rows}
    texts: dict[str, list[str]] = {}
    for name, text in given:
        if name in known:
            texts.setdefault(name, []).append(text)
        elif strict:
            raise _wrong(
                name[:64],
                "is no parameter here",
                f"there are {', '.join(known)}" if known else "there are none",
            )
    return Answer({name: _value(row, texts.get(name, [])) for name, row in known.items()})


def _value(row: Parameter, texts: Sequence[str]) -> Any:
    if row.many:
        if len(texts) > _MOST_SERIES:
            raise _wrong(row.name, f"is given {len(texts)} times", f"{_MOST_SERIES} are the most")
        return tuple(_read(row, text) for text in texts)
    if len(texts) > 1:
        raise _wrong(row.name, f"is given {len(texts)} times", "give it once")
    if not texts:
        if row.required:
            raise _wrong(row.name, "is missing", f"give it: {row.help}")
        return row.default
    return _read(row, texts[0])


def _read(row: Parameter, text: str) -> Any:
    try:
        return row.read(text)
    except ValueError as error:
        raise _wrong(row.name, f"cannot be {text[:80]!r}", f"it is {error}") from error


def _wrong(name: str, what: str, remedy: str) -> RequestRefused:
    return RequestRefused(f"the parameter {name} {what}", remedy, 400, name)
