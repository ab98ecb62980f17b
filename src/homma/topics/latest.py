"""The latest candles of a candle topic: `topics/precedence.py` decides between their records.

Pure. Records may be added in any order, so a reader can start with the newest records and then go
back as far as it needs.
"""

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from homma.core.series_partitions import SeriesPartitions
from homma.topics.candle import Candle, SeriesKey, read_candle
from homma.topics.precedence import is_newer, is_superseded

_ONE_SPELLING: Final = re.compile(r"[A-Za-z0-9 ._:-]+")


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
