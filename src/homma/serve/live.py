"""The newest candles of every series and interval, in bounded memory. Pure.

What is held is part of what there is: the beginning of a series is in the lake, and while the
topics are still read backwards so is some of the middle. So it is known from where on a series is
`whole` here, and only what lies after that is given without asking the lake.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from homma.core.interval import INTERVALS
from homma.serve.clocks import Clocks
from homma.serve.wire import body
from homma.topics.latest import Candle, CandleRecord, DeletedCandle, Latest, SeriesKey, newest_tick

#: Earlier than any candle.
EVER: Final = datetime(1, 1, 1, tzinfo=UTC)
#: So many candles that are gone are remembered, as the lake may not know yet.
_GRAVES: Final = 10_000
_NEXT: Final = timedelta(microseconds=1)
LiveChange = Candle | DeletedCandle


@dataclass(frozen=True, slots=True)
class CandleRange:
    """Candles of a series that start in [since, until): `count` at most.

    With `since` the oldest of them, else the newest.
    """

    series: SeriesKey
    since: datetime | None
    until: datetime | None
    count: int

    def of(self, candles: Sequence[Candle]) -> Sequence[Candle]:
        """Those that are wanted of candles that are in the span, oldest first."""
        return candles[: self.count] if self.since else candles[-self.count :]


class Live:
    """What has been read of the candle topics."""

    def __init__(self, keep: int, clocks: Clocks) -> None:
        self.keep = keep
        #: Of the series whose engine does not say which candles are final.
        self.clocks = clocks
        self.clear()

    def clear(self) -> None:
        """Forget everything: the topics are others now."""
        #: Whether the topics have been read back to their beginning.
        self.settled = False
        self._latest = [Latest(self.keep, text=body) for _ in INTERVALS]
        self._whole: dict[tuple[int, SeriesKey], datetime] = {}
        self._graves: dict[tuple[int, SeriesKey, datetime], None] = {}
        self.clocks.clear()

    def add(self, interval: int, record: CandleRecord) -> LiveChange | None:
        """Take a record; gives what it has changed, if anything."""
        change = self._latest[interval].add(record)
        if record.value is None:
            self._apply_tombstone(interval, change, record.key)
        elif isinstance(change, Candle):
            self._graves.pop((interval, change.series, change.start), None)
            if change.is_final is None:
                tick = newest_tick(record.value) or change.start
                self.clocks.saw(change.series, tick, record.timestamp_ms)
        return change

    def _apply_tombstone(self, interval: int, change: LiveChange | None, key: bytes | None) -> None:
        at = (
            (change.candle.series, change.candle.start)
            if isinstance(change, DeletedCandle)
            else _at(key)
        )
        if at is None or self._latest[interval].between(at[0], at[1], at[1] + _NEXT):
            return
        self._graves[(interval, *at)] = None
        if len(self._graves) > _GRAVES:
            self._graves.pop(next(iter(self._graves)))

    def settle(self) -> None:
        """The topics have been read back to their beginning."""
        self.settled = True
        for latest in self._latest:
            latest.settle()

    def series(self) -> list[SeriesKey]:
        """Every series there is, by symbol and source."""
        found = {series for latest in self._latest for series in latest.series()}
        return sorted(found, key=lambda s: (s[1], s[0]))

    def of_interval(self, interval: int) -> list[SeriesKey]:
        """The same of one interval."""
        return self._latest[interval].series()

    def split(self) -> list[SeriesKey]:
        """Series that stand in several partitions, whose candles are halves."""
        return [s for s in self.series() if any(latest.split(s) for latest in self._latest)]

    def bad(self) -> int:
        """Records that are no candles."""
        return sum(latest.bad for latest in self._latest)

    def superseded(self) -> int:
        """Records that lack a part of the candle that is there."""
        return sum(latest.superseded for latest in self._latest)

    def newest(self, interval: int, series: SeriesKey, count: int) -> Sequence[Candle]:
        """The newest candles of a series, oldest first."""
        return self._latest[interval].before(series, None, count)

    def held(self, interval: int, span: CandleRange) -> Sequence[Candle]:
        """What is here of a span, which need not be all there is."""
        latest = self._latest[interval]
        if span.since is None:
            return latest.before(span.series, span.until, span.count)
        return latest.between(span.series, span.since, span.until)[: span.count]

    def authoritative(self, interval: int, span: CandleRange) -> Sequence[Candle] | None:
        """The candles of a span where surely all of them are here; else None."""
        whole = self._whole.get((interval, span.series))
        if whole is None:
            return None
        dropped = self._latest[interval].dropped(span.series)
        if dropped is not None and dropped >= whole:
            # Nothing that starts later has been let go.
            whole = dropped + _NEXT
        found = self.held(interval, span)
        if span.since is not None:
            return found if span.since >= whole else None
        enough = len(found) == span.count and found[0].start >= whole
        return found if enough or whole == EVER else None

    def merge_history(
        self, interval: int, span: CandleRange, older: Sequence[Candle]
    ) -> Sequence[Candle]:
        """A span of what is here and of what the lake has of it."""
        graves = self._graves
        found = {c.start: c for c in older if (interval, span.series, c.start) not in graves}
        for candle in self.held(interval, span):
            other = found.get(candle.start)
            # As in the topic: an engine that lost a part of a candle does not replace it.
            if other is None or candle.revision is not None or candle.volume >= other.volume:
                found[candle.start] = candle
        return span.of([found[start] for start in sorted(found)])

    def is_contiguous(self, interval: int, span: CandleRange, older: Sequence[Candle]) -> bool:
        """Whether what the lake has of a span reaches to what is here."""
        dropped = self._latest[interval].dropped(span.series)
        if dropped is None or (span.since is not None and len(older) == span.count):
            return True
        before = span.since is not None and dropped < span.since
        after = span.until is not None and dropped >= span.until
        return before or after or any(candle.start >= dropped for candle in older)

    def mark_complete(self, interval: int, span: CandleRange, candles: Sequence[Candle]) -> None:
        """Hold what was found of a span, if it reaches to the newest candle."""
        newest = self.newest(interval, span.series, 1)
        full = len(candles) == span.count
        cut_short = full if span.since is not None else False
        ends = span.until is None or (newest and span.until > newest[0].start)
        if not self.settled or cut_short or not ends:
            return
        first = span.since or (candles[0].start if full else EVER)
        at = (interval, span.series)
        self._latest[interval].fill(candles[-self.keep :])
        if len(candles) > self.keep:
            first = candles[-self.keep].start
        self._whole[at] = min(first, self._whole.get(at, first))


def _at(key: bytes | None) -> tuple[SeriesKey, datetime] | None:
    """The candle of a tombstone that nobody here has seen: there is only its key to tell."""
    try:
        found = json.loads(key or b"")
        start = datetime.fromisoformat(found["dateTime"])
        return (str(found["source"]), str(found["symbol"])), start.replace(tzinfo=UTC)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
