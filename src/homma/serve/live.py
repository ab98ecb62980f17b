"""The newest candles of every series and interval, in bounded memory. Pure.

Memory holds only part of a series: its beginning is in the lake, and while the topics are still
being read backwards, so is some of the middle. For each series, `_complete_from` is the time from
which memory has every candle; only a range after that time is answered without the lake.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from homma.core.calendar import Calendar
from homma.serve.watermarks import SeriesWatermarks
from homma.serve.wire import candle_body
from homma.topics.candle import Candle, SeriesKey, newest_tick_time
from homma.topics.latest import CandleRecord, DeletedCandle, LatestCandles
from homma.topics.precedence import is_superseded

#: Earlier than any candle.
EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
#: Deleted candles to remember, as the lake may still have them.
_MAX_DELETED: Final = 10_000
_MICROSECOND: Final = timedelta(microseconds=1)
#: How far back from the newest candle the ticks of a series count as recent.
_RECENT: Final = timedelta(hours=1)
LiveChange = Candle | DeletedCandle


@dataclass(frozen=True, slots=True)
class CandleRange:
    """At most `count` candles of a series that start in [since, until).

    With `since` the oldest of them, otherwise the newest.
    """

    series: SeriesKey
    since: datetime | None
    until: datetime | None
    count: int

    def limit(self, candles: Sequence[Candle]) -> Sequence[Candle]:
        """The `count` candles to return, of all candles in the range, oldest first."""
        return candles[: self.count] if self.since else candles[-self.count :]


class Live:
    """The newest candles of the topics, deleted candles, and watermarks. Intervals go by code."""

    def __init__(self, calendar: Calendar, keep: int, watermarks: SeriesWatermarks) -> None:
        self.calendar = calendar
        self._shortest = calendar.codes[0]
        self.keep = keep
        #: Watermarks of series whose engine does not record which candles are final.
        self.watermarks = watermarks
        self.clear()

    def clear(self) -> None:
        """Discard everything, as the topics were replaced."""
        #: Whether the topics have been read back to their beginning.
        self.is_backfilled = False
        self._latest = {
            code: LatestCandles(self.keep, text=candle_body) for code in self.calendar.codes
        }
        self._written_ms: dict[SeriesKey, int] = {}
        self._complete_from: dict[tuple[str, SeriesKey], datetime] = {}
        self._deleted: dict[tuple[str, SeriesKey, datetime], None] = {}
        self.watermarks.clear()

    def add(self, interval: str, record: CandleRecord) -> LiveChange | None:
        """Apply a record of a candle topic; returns the change, if any."""
        change = self._latest[interval].add(record)
        if record.value is None:
            self._apply_tombstone(interval, change, record.key)
        elif isinstance(change, Candle):
            self._deleted.pop((interval, change.series, change.start), None)
            if interval == self._shortest:
                written_ms = max(record.timestamp_ms, self._written_ms.get(change.series, 0))
                self._written_ms[change.series] = written_ms
            if change.is_final is None:
                tick = newest_tick_time(record.value) or change.start
                self.watermarks.observe(change.series, tick, record.timestamp_ms)
        return change

    def _apply_tombstone(self, interval: str, change: LiveChange | None, key: bytes | None) -> None:
        identity = _parse_key(key)
        if isinstance(change, DeletedCandle):
            identity = change.candle.series, change.candle.start
        if identity is None:
            return
        series, start = identity
        if self._latest[interval].between(series, start, start + _MICROSECOND):
            return
        self._deleted[(interval, series, start)] = None
        if len(self._deleted) > _MAX_DELETED:
            self._deleted.pop(next(iter(self._deleted)))

    def mark_backfilled(self) -> None:
        """Record that the topics have been read back to their beginning."""
        self.is_backfilled = True
        for latest in self._latest.values():
            latest.end_backfill()

    def series(self) -> list[SeriesKey]:
        """All series, sorted by symbol and source."""
        series_keys = {series for latest in self._latest.values() for series in latest.series()}
        return sorted(series_keys, key=lambda s: (s[1], s[0]))

    def series_of_interval(self, interval: str) -> list[SeriesKey]:
        """All series that have candles of one interval, sorted by symbol and source."""
        return self._latest[interval].series()

    def recent_ticks(self) -> dict[SeriesKey, int]:
        """The number of ticks of each series in the hour before the newest candle of all series.

        Series without a candle in that hour are left out.
        """
        latest = self._latest[self._shortest]
        newest = {series: latest.before(series, None, 1) for series in latest.series()}
        since = max((c.start for candles in newest.values() for c in candles), default=EARLIEST)
        since = max(since, EARLIEST + _RECENT) - _RECENT
        return {
            series: sum(candle.tick_count for candle in latest.between(series, since, None))
            for series, candles in newest.items()
            if candles[0].start >= since
        }

    def silence_ms(self, series: SeriesKey, now: datetime) -> int | None:
        """How long ago a candle of the series was last written, by Kafka's time.

        Only the shortest interval counts: longer candles become final long after their last tick.
        None if memory has no record of the series.
        """
        written_ms = self._written_ms.get(series)
        return None if written_ms is None else max(0, int(now.timestamp() * 1000) - written_ms)

    def split_series(self) -> list[SeriesKey]:
        """Series in several partitions, whose candles are incomplete."""
        return [
            s for s in self.series() if any(latest.is_split(s) for latest in self._latest.values())
        ]

    def invalid_count(self) -> int:
        """Number of records that are not candles."""
        return sum(latest.bad for latest in self._latest.values())

    def superseded_count(self) -> int:
        """Number of records that lack ticks of the candle that memory has."""
        return sum(latest.superseded for latest in self._latest.values())

    def newest(self, interval: str, series: SeriesKey, count: int) -> Sequence[Candle]:
        """The newest candles of a series, oldest first."""
        return self._latest[interval].before(series, None, count)

    def in_memory(self, interval: str, span: CandleRange) -> Sequence[Candle]:
        """The candles of a range that are in memory; there may be more in the lake."""
        latest = self._latest[interval]
        if span.since is None:
            return latest.before(span.series, span.until, span.count)
        return latest.between(span.series, span.since, span.until)[: span.count]

    def authoritative(self, interval: str, span: CandleRange) -> Sequence[Candle] | None:
        """The candles of a range if memory certainly has all of them, otherwise None."""
        complete_from = self._complete_from.get((interval, span.series))
        if complete_from is None:
            return None
        dropped = self._latest[interval].newest_dropped(span.series)
        if dropped is not None and dropped >= complete_from:
            # Memory has dropped no candle that starts later.
            complete_from = dropped + _MICROSECOND
        candles = self.in_memory(interval, span)
        if span.since is not None:
            return candles if span.since >= complete_from else None
        is_full = len(candles) == span.count and candles[0].start >= complete_from
        return candles if is_full or complete_from == EARLIEST else None

    def merge_history(
        self, interval: str, span: CandleRange, older: Sequence[Candle]
    ) -> Sequence[Candle]:
        """Merge the lake's candles of a range (`older`) with those in memory."""
        deleted = self._deleted
        candles = {c.start: c for c in older if (interval, span.series, c.start) not in deleted}
        for candle in self.in_memory(interval, span):
            landed = candles.get(candle.start)
            if landed is None or not is_superseded(
                candle.revision, candle.tick_count, landed.tick_count
            ):
                candles[candle.start] = candle
        return span.limit([candles[start] for start in sorted(candles)])

    def is_contiguous(self, interval: str, span: CandleRange, older: Sequence[Candle]) -> bool:
        """Whether there is no gap between the lake's candles of a range and those in memory."""
        dropped = self._latest[interval].newest_dropped(span.series)
        if dropped is None or (span.since is not None and len(older) == span.count):
            return True
        before = span.since is not None and dropped < span.since
        after = span.until is not None and dropped >= span.until
        return before or after or any(candle.start >= dropped for candle in older)

    def mark_complete(self, interval: str, span: CandleRange, candles: Sequence[Candle]) -> None:
        """Keep the complete candles of a range in memory, if it reaches the newest candle."""
        newest = self.newest(interval, span.series, 1)
        is_full = len(candles) == span.count
        is_cut_off = is_full and span.since is not None
        has_newest = span.until is None or (newest and span.until > newest[0].start)
        if not self.is_backfilled or is_cut_off or not has_newest:
            return
        first = span.since or (candles[0].start if is_full else EARLIEST)
        key = (interval, span.series)
        self._latest[interval].add_history(candles[-self.keep :])
        if len(candles) > self.keep:
            first = candles[-self.keep].start
        self._complete_from[key] = min(first, self._complete_from.get(key, first))


def _parse_key(key: bytes | None) -> tuple[SeriesKey, datetime] | None:
    """The series and start in a record's key: all that identifies a tombstone's unseen candle."""
    try:
        fields = json.loads(key or b"")
        start = datetime.fromisoformat(fields["dateTime"])
        return (str(fields["source"]), str(fields["symbol"])), start.replace(tzinfo=UTC)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
