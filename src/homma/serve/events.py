"""What has happened, numbered, for live streams that come, lag, go and come back. Pure.

Each event is encoded once. A stream is a number: how far it has come. Of what it has not had it
gets the newest of each candle, so one that lags gets less, not more; one that has been away for
too long is told to load anew.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from homma.serve import wire
from homma.serve.live import LiveChange
from homma.topics.latest import Candle, SeriesKey

#: So many bytes at a time: whoever is further behind is told to load anew.
_MOST_BYTES: Final = 1 << 20
_NOTHING: Final = b"{}"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stream is about; no series: all of them."""

    interval: int
    series: frozenset[SeriesKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one candle; without a series: all candles of the interval may be others."""

    number: int
    interval: int
    series: SeriesKey | None
    start: datetime | None
    frame: bytes

    def concerns(self, wanted: Subscription) -> bool:
        """Whether it is one for such a stream."""
        if self.interval != wanted.interval:
            return False
        return not wanted.series or self.series is None or self.series in wanted.series


class Events:
    """The last `most` events, at least; `run` tells this server from the one before."""

    def __init__(self, run: str, most: int) -> None:
        self._run = run
        self._most = most
        self._events: list[Event] = []
        #: The number of the newest event.
        self.newest = 0

    def changed(self, interval: int, change: LiveChange) -> None:
        """A candle is another now, or gone."""
        if isinstance(change, Candle):
            kind, candle, data = b"candle", change, wire.update(interval, change)
        else:
            candle = change.candle
            kind, data = b"gone", wire.removal(interval, candle)
        self._add(interval, candle.series, candle.start, kind, data)

    def replaced(self, interval: int) -> None:
        """Any candle of an interval may be another now."""
        self._add(interval, None, None, b"reset", _NOTHING)

    def _add(
        self,
        interval: int,
        series: SeriesKey | None,
        start: datetime | None,
        kind: bytes,
        data: bytes,
    ) -> None:
        self.newest += 1
        frame = b"event: %b\nid: %b\ndata: %b\n\n" % (kind, self.id(self.newest), data)
        self._events.append(Event(self.newest, interval, series, start, frame))
        if len(self._events) > 2 * self._most:
            del self._events[: -self._most]

    def id(self, number: int) -> bytes:
        """How a client is told how far it has come."""
        return f"{self._run}-{number}".encode()

    def number(self, last_event_id: str) -> int | None:
        """How far a client has come; None where that was another server, or too long ago."""
        run, _, text = last_event_id.rpartition("-")
        if run != self._run or not (text.isascii() and text.isdigit()) or len(text) > 18:
            return None
        number = int(text)
        return number if self._oldest() <= number + 1 <= self.newest + 1 else None

    def _oldest(self) -> int:
        return self._events[0].number if self._events else self.newest + 1

    def reset(self) -> bytes:
        """What a client is told that has to load anew."""
        return b"event: reset\nid: %b\ndata: {}\n\n" % self.id(self.newest)

    def between(self, number: int, last: int, wanted: Subscription) -> bytes:
        """The newest of each candle that has changed after an event, up to another."""
        if number + 1 < self._oldest():
            return self.reset()
        first, end = (
            bisect_right(self._events, n, key=lambda event: event.number) for n in (number, last)
        )
        frames = _newest(self._events[first:end], wanted)
        return self.reset() if sum(map(len, frames)) > _MOST_BYTES else b"".join(frames)


def _newest(events: Sequence[Event], wanted: Subscription) -> list[bytes]:
    found: dict[tuple[SeriesKey | None, datetime | None], bytes] = {}
    for event in events:
        if event.concerns(wanted):
            if event.series is None:
                found.clear()
            at = (event.series, event.start)
            # The last place, as numbers grow in the order in which they are sent.
            found.pop(at, None)
            found[at] = event.frame
    return list(found.values())
