"""The newest record of a key is the candle: which candles a topic's records say there are.

Pure. Records of a partition may be added in any order, so that a reader can begin with the newest
ones and then go back as far as it needs.
"""

import json
import math
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from homma.topics.codec import unframed

#: Beyond them no tick is valid, and time cannot be added to any date.
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9999
_ONE_SPELLING: Final = re.compile(r"[A-Za-z0-9 ._:-]+")
#: (source, symbol)
SeriesKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Candle:
    """A candle as its record has it; `start` is UTC, `text` the record's value.

    `is_final` and `revision` are None where another engine wrote the record.
    """

    source: str
    symbol: str
    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    is_final: bool | None
    revision: int | None
    text: bytes

    @property
    def series(self) -> SeriesKey:
        """What the candle is one of."""
        return self.source, self.symbol


@dataclass(frozen=True, slots=True)
class DeletedCandle:
    """A candle that a tombstone has taken away."""

    candle: Candle


@dataclass(frozen=True, slots=True)
class CandleRecord:
    """A record of a candle topic; `timestamp_ms` is Kafka's. A tombstone has no value."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class _Held:
    """A candle and where its record stands, without the record's value."""

    candle: Candle
    record: CandleRecord


#: Not from a record: from the lake.
_NO_PARTITION: Final = -1


def read_candle(value: bytes) -> Candle | None:
    """The candle of a record's value; None where it is none."""
    value = unframed(value)
    try:
        found = json.loads(value)
        candle = Candle(
            source=str(found["source"]),
            symbol=str(found["symbol"]),
            start=_instant(found["dateTime"]),
            open=float(found["open"]),
            high=float(found["high"]),
            low=float(found["low"]),
            close=float(found["close"]),
            volume=int(found["volume"]),
            is_final=_typed(found.get("isFinal"), bool),
            revision=_typed(found.get("revision"), int),
            text=value,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    # JSON has no infinity, but Python's parser does.
    total = candle.open + candle.high + candle.low + candle.close
    return candle if math.isfinite(total) else None


def newest_tick(value: bytes) -> datetime | None:
    """The date of the newest tick in a candle's record; None where it does not say a likely one."""
    try:
        found = _instant(json.loads(unframed(value))["closeDateTime"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return found if _FIRST_YEAR <= found.year < _LAST_YEAR else None


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _typed(found: Any, kind: type[Any]) -> Any:
    return found if type(found) is kind else None


def _as_written(candle: Candle) -> bytes:
    return candle.text


class Latest:
    """The `keep` newest candles of each series; with `symbol`, of the series of that one only.

    `text` is what is kept of a record's value, as that is most of what a candle takes. `bad` counts
    records that are no candles, `outdone` those that lack a part of the candle that is there.
    """

    def __init__(
        self,
        keep: int,
        symbol: str | None = None,
        text: Callable[[Candle], bytes] = _as_written,
    ) -> None:
        self.keep = keep
        self.bad = 0
        self.superseded = 0
        self._symbol = symbol
        self._text = text
        # Most records of a big topic are of other symbols, and not worth parsing. A symbol that
        # JSON can write in several ways cannot be looked for in the bytes.
        plain = symbol is not None and _ONE_SPELLING.fullmatch(symbol)
        self._needle = symbol.encode() if symbol and plain else b""
        self._held: dict[SeriesKey, dict[datetime, _Held]] = {}
        self._starts: dict[SeriesKey, list[datetime]] = {}
        self._partitions: dict[SeriesKey, set[int]] = {}
        self._dropped: dict[SeriesKey, datetime] = {}
        self._of_key: dict[bytes, tuple[SeriesKey, datetime]] = {}
        self._tombstones: dict[bytes, CandleRecord] = {}
        self._going_back = True

    def add(self, record: CandleRecord) -> Candle | DeletedCandle | None:
        """Take a record; gives what it has changed: a candle, or one that is gone, or nothing."""
        if record.value is None:
            return self._apply_tombstone(record)
        if self._needle not in record.value or self._superseded(record):
            return None
        candle = read_candle(record.value)
        if candle is None:
            self.bad += 1
            return None
        if self._symbol not in (None, candle.symbol) or self._buried(record):
            return None
        return self._hold(_held(candle, record, self._text))

    def fill(self, candles: Iterable[Candle]) -> None:
        """Take candles that were found elsewhere: any record is newer than they are."""
        for candle in candles:
            place = CandleRecord(_NO_PARTITION, -1, -1, None, None)
            self._hold(_held(candle, place, self._text))

    def settle(self) -> None:
        """All that comes from now on is newer than what came: tombstones need not be kept."""
        self._going_back = False
        self._tombstones.clear()

    def _superseded(self, record: CandleRecord) -> bool:
        """Whether a newer record of the same key is held: then the value need not be parsed."""
        at = self._of_key.get(record.key or b"")
        if at is None:
            return False
        held = self._held[at[0]][at[1]]
        return held.candle.revision is not None and _newer(held.record, record)

    def _buried(self, record: CandleRecord) -> bool:
        tombstone = self._tombstones.get(record.key or b"")
        return tombstone is not None and _newer(tombstone, record)

    def _apply_tombstone(self, record: CandleRecord) -> DeletedCandle | None:
        key = record.key or b""
        before = self._tombstones.get(key)
        if self._going_back and (before is None or _newer(record, before)):
            self._tombstones[key] = record
        if key not in self._of_key:
            return None
        series, start = self._of_key[key]
        held = self._held[series][start]
        if held.record.key != record.key or not _newer(record, held.record):
            return None
        self._drop(series, start)
        return DeletedCandle(held.candle)

    def _hold(self, new: _Held) -> Candle | None:
        series, start = new.candle.series, new.candle.start
        candles = self._held.setdefault(series, {})
        old = candles.get(start)
        if old is not None and not self._replaces(new, old):
            return None
        if old is None:
            insort(self._starts.setdefault(series, []), start)
        else:
            self._of_key.pop(old.record.key or b"", None)
        if new.record.partition != _NO_PARTITION and new.candle.revision is not None:
            self._partitions.setdefault(series, set()).add(new.record.partition)
        candles[start] = new
        if new.record.key is not None:
            self._of_key[new.record.key] = (series, start)
        # Seldom, as it takes its time.
        if len(candles) > 2 * self.keep + 10:
            self._forget(series)
        return new.candle

    def _forget(self, series: SeriesKey) -> None:
        for start in self._starts[series][: -self.keep]:
            self._dropped[series] = max(start, self._dropped.get(series, start))
            self._drop(series, start)

    def _drop(self, series: SeriesKey, start: datetime) -> None:
        held = self._held[series].pop(start)
        starts = self._starts[series]
        starts.pop(bisect_left(starts, start))
        self._of_key.pop(held.record.key or b"", None)

    def _replaces(self, new: _Held, old: _Held) -> bool:
        """Whether `new` is the candle of the two; neither need be the newer one."""
        newer, older = (new, old) if _newer(new.record, old.record) else (old, new)
        if not _outdone(newer, by=older):
            return newer is new
        self.superseded += 1
        return older is new

    def series(self) -> list[SeriesKey]:
        """Every series of which there is a candle, by symbol and source."""
        return sorted((s for s in self._held if self._held[s]), key=lambda s: (s[1], s[0]))

    def candles(self, series: SeriesKey) -> Sequence[Candle]:
        """The newest candles of a series, oldest first, `keep` at most."""
        held = self._held.get(series, {})
        return [held[start].candle for start in self._starts.get(series, [])[-self.keep :]]

    def between(
        self, series: SeriesKey, since: datetime | None, until: datetime | None
    ) -> Sequence[Candle]:
        """The candles of a series that are held and start in [since, until), oldest first."""
        starts, held = self._starts.get(series, []), self._held.get(series, {})
        first = bisect_left(starts, since) if since else 0
        last = bisect_left(starts, until) if until else len(starts)
        return [held[start].candle for start in starts[first:last]]

    def before(self, series: SeriesKey, until: datetime | None, count: int) -> Sequence[Candle]:
        """The newest candles of a series that start before an instant, oldest first."""
        starts, held = self._starts.get(series, []), self._held.get(series, {})
        last = bisect_left(starts, until) if until else len(starts)
        return [held[start].candle for start in starts[max(0, last - count) : last]]

    def dropped(self, series: SeriesKey) -> datetime | None:
        """The newest start of a candle that was let go, as there were newer ones to keep."""
        return self._dropped.get(series)

    def split(self, series: SeriesKey) -> bool:
        """Whether a series stands in several partitions: then its candles are halves.

        Not so another engine's, which gives no revisions: it places candles by their whole keys.
        """
        return len(self._partitions.get(series, ())) > 1


def _held(candle: Candle, record: CandleRecord, text: Callable[[Candle], bytes]) -> _Held:
    lean = replace(candle, text=text(candle))
    return _Held(lean, replace(record, value=None))


def _newer(one: CandleRecord, other: CandleRecord) -> bool:
    """Whether a record was written after another."""
    if one.partition == other.partition:
        return one.offset > other.offset
    return one.timestamp_ms > other.timestamp_ms


def _outdone(newer: _Held, by: _Held) -> bool:
    """Whether the newer one comes from an engine that has lost a part of the candle."""
    return newer.candle.revision is None and by.candle.volume > newer.candle.volume
