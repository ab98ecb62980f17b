"""The latest candles of a candle topic: `topics/precedence.py` decides between their records.

Pure. Records may be added in any order, so a reader can start with the newest records and then go
back as far as it needs.
"""

import json
import math
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from homma.core.decimals import BOUND
from homma.core.fields import CANDLE_FIELDS, CandleField, Kind
from homma.core.series_partitions import SeriesPartitions
from homma.topics.codec import strip_schema_id
from homma.topics.precedence import is_newer, is_superseded

#: No tick outside these years is valid, and time can be added to every date between them.
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9999
_ONE_SPELLING: Final = re.compile(r"[A-Za-z0-9 ._:-]+")
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
#: The most fractional digits that a sum over trades has.
_DIGITS: Final = 12
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


@dataclass(frozen=True, slots=True)
class DeletedCandle:
    """A candle that a tombstone deleted."""

    candle: Candle


@dataclass(frozen=True, slots=True)
class CandleRecord:
    """A record of a candle topic. `timestamp_ms` is Kafka's. A tombstone has no value."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class _StoredCandle:
    """A candle and the fields of its record, without the record's value."""

    candle: Candle
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None

    @property
    def location(self) -> tuple[SeriesKey, datetime]:
        """The series and the start of the candle."""
        return self.candle.series, self.candle.start


#: The candle comes from the lake, not from a record.
_NO_PARTITION: Final = -1
_FROM_LAKE: Final = CandleRecord(_NO_PARTITION, -1, -1, None, None)


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
    if not abs(value) < BOUND or int(value.as_tuple().exponent) < -_DIGITS:
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


def _full_text(candle: Candle) -> bytes:
    return candle.text


class LatestCandles:
    """The `keep` newest candles of each series, or of each series of one `symbol`.

    `text` selects what to keep of a record's value, which takes most of a candle's memory. `bad`
    counts records that are not candles, `superseded` newer records that hold only a part of a
    candle.
    """

    def __init__(
        self,
        keep: int,
        symbol: str | None = None,
        text: Callable[[Candle], bytes] = _full_text,
    ) -> None:
        self.keep = keep
        self.bad = 0
        self.superseded = 0
        self._symbol = symbol
        self._text = text
        # Most records of a large topic belong to other symbols and need no parsing. A symbol that
        # JSON can encode in several ways cannot be searched for in the bytes.
        plain = symbol is not None and _ONE_SPELLING.fullmatch(symbol)
        self._needle = symbol.encode() if symbol and plain else b""
        # One copy of each name: most of them repeat in every record.
        self._series: dict[SeriesKey, SeriesKey] = {}
        self._candles: dict[SeriesKey, dict[datetime, _StoredCandle]] = {}
        self._starts: dict[SeriesKey, list[datetime]] = {}
        self._partitions = SeriesPartitions()
        self._dropped: dict[SeriesKey, datetime] = {}
        self._of_key: dict[bytes, tuple[SeriesKey, datetime]] = {}
        self._is_backfilling = True
        # Both are needed while records are added that are older than others:
        #: By key: a tombstone or a record with revision. No older record becomes the candle.
        self._barriers: dict[bytes, CandleRecord | _StoredCandle] = {}
        #: Records that a stored candle supersedes, unless something turns up between them.
        self._superseded: dict[tuple[SeriesKey, datetime], list[_StoredCandle]] = {}

    def add(self, record: CandleRecord) -> Candle | DeletedCandle | None:
        """Add a record. Returns the candle that it changed or deleted, or None."""
        if record.value is None:
            return self._apply_tombstone(record)
        if self._needle not in record.value or self._is_outdated(record):
            return None
        candle = read_candle(record.value)
        if candle is None:
            self.bad += 1
            return None
        if self._symbol not in (None, candle.symbol) or self._is_behind_barrier(record):
            return None
        return self._store(candle, record)

    def add_history(self, candles: Iterable[Candle]) -> None:
        """Add candles from the lake. Every record counts as newer than these candles."""
        for candle in candles:
            self._store(candle, _FROM_LAKE)

    def end_backfill(self) -> None:
        """From now on, every record is newer than all before, so less must be remembered."""
        self._is_backfilling = False
        self._barriers.clear()
        self._superseded.clear()

    def _is_outdated(self, record: CandleRecord) -> bool:
        """Whether a newer record of the same key is stored, so the value need not be parsed."""
        location = self._of_key.get(record.key or b"")
        if location is None:
            return False
        stored = self._candles[location[0]][location[1]]
        return stored.candle.revision is not None and is_newer(stored, record)

    def _is_behind_barrier(self, record: CandleRecord) -> bool:
        barrier = self._barriers.get(record.key or b"")
        return barrier is not None and is_newer(barrier, record)

    def _set_barrier(self, record: CandleRecord | _StoredCandle) -> None:
        previous = self._barriers.get(record.key or b"")
        if self._is_backfilling and (previous is None or is_newer(record, previous)):
            self._barriers[record.key or b""] = record

    def _apply_tombstone(self, record: CandleRecord) -> Candle | DeletedCandle | None:
        key = record.key or b""
        self._set_barrier(record)
        if key not in self._of_key:
            return None
        series, start = self._of_key[key]
        stored = self._candles[series][start]
        if stored.key != record.key or not is_newer(record, stored):
            return None
        self._remove(series, start)
        return self._restore_superseded(stored.location, record) or DeletedCandle(stored.candle)

    def _store(self, candle: Candle, record: CandleRecord) -> Candle | None:
        series = self._series.setdefault(candle.series, candle.series)
        new = _StoredCandle(
            Candle(series, candle.start, candle.values, self._text(candle)),
            record.partition,
            record.offset,
            record.timestamp_ms,
            record.key,
        )
        if new.partition != _NO_PARTITION and candle.revision is not None:
            self._partitions.add(series, new.partition)
        return self._place(new)

    def _place(self, new: _StoredCandle) -> Candle | None:
        series, start = new.location
        candles = self._candles.setdefault(series, {})
        old = candles.get(start)
        if old is not None and not self._replaces(new, old):
            return None
        if old is None:
            insort(self._starts.setdefault(series, []), start)
        else:
            self._of_key.pop(old.key or b"", None)
        candles[start] = new
        if new.key is not None:
            self._of_key[new.key] = (series, start)
        # Not for every candle, because it takes some time.
        if len(candles) > 2 * self.keep + 10:
            self._trim(series)
        if new.candle.revision is None:
            return new.candle
        return self._restore_superseded(new.location, new) or new.candle

    def _restore_superseded(
        self, location: tuple[SeriesKey, datetime], authoritative: CandleRecord | _StoredCandle
    ) -> Candle | None:
        """Decide again about records that a candle older than `authoritative` superseded."""
        change = None
        for record in self._superseded.pop(location, ()):
            if is_newer(record, authoritative):
                change = self._place(record) or change
        return change

    def _trim(self, series: SeriesKey) -> None:
        for start in self._starts[series][: -self.keep]:
            self._dropped[series] = max(start, self._dropped.get(series, start))
            self._remove(series, start)

    def _remove(self, series: SeriesKey, start: datetime) -> None:
        stored = self._candles[series].pop(start)
        starts = self._starts[series]
        starts.pop(bisect_left(starts, start))
        self._of_key.pop(stored.key or b"", None)

    def _replaces(self, new: _StoredCandle, old: _StoredCandle) -> bool:
        """Whether `new` replaces `old`. The record of `new` may be the older of the two."""
        newer, older = (new, old) if is_newer(new, old) else (old, new)
        revision, ticks = newer.candle.revision, newer.candle.tick_count
        if not is_superseded(revision, ticks, older.candle.tick_count):
            if revision is None and older.candle.revision is not None:
                self._set_barrier(older)
            return newer is new
        self.superseded += 1
        if self._is_backfilling:
            self._superseded.setdefault(newer.location, []).append(newer)
        return older is new

    def series(self) -> list[SeriesKey]:
        """All series with candles, ordered by symbol, then source."""
        return sorted((s for s in self._candles if self._candles[s]), key=lambda s: (s[1], s[0]))

    def candles(self, series: SeriesKey) -> Sequence[Candle]:
        """The newest candles of a series, at most `keep`, oldest first."""
        stored = self._candles.get(series, {})
        return [stored[start].candle for start in self._starts.get(series, [])[-self.keep :]]

    def between(
        self, series: SeriesKey, since: datetime | None, until: datetime | None
    ) -> Sequence[Candle]:
        """The stored candles of a series that start in [since, until), oldest first."""
        starts, stored = self._starts.get(series, []), self._candles.get(series, {})
        first = bisect_left(starts, since) if since else 0
        last = bisect_left(starts, until) if until else len(starts)
        return [stored[start].candle for start in starts[first:last]]

    def before(self, series: SeriesKey, until: datetime | None, count: int) -> Sequence[Candle]:
        """The newest `count` candles of a series that start before `until`, oldest first."""
        starts, stored = self._starts.get(series, []), self._candles.get(series, {})
        last = bisect_left(starts, until) if until else len(starts)
        return [stored[start].candle for start in starts[max(0, last - count) : last]]

    def newest_dropped(self, series: SeriesKey) -> datetime | None:
        """The newest start of the candles that were removed to keep only newer candles."""
        return self._dropped.get(series)

    def is_split(self, series: SeriesKey) -> bool:
        """Whether a series is split over several partitions, which makes its candles incomplete."""
        return self._partitions.is_split(series)
