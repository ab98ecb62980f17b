"""Numbered events for live streams that connect, lag, disconnect and reconnect. Pure.

Each event is encoded once. A stream is a number: the last event it has received. It is sent the
newest version of each candle since then, so a slow stream receives less data, not more. A stream
that was away for too long receives a reset.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from homma.serve import wire
from homma.serve.live import LiveChange
from homma.topics.candle import Candle, SeriesKey

#: A stream that is further behind than this receives a reset.
_MAX_BYTES: Final = 1 << 20
_EMPTY: Final = b"{}"


@dataclass(frozen=True, slots=True)
class Subscription:
    """The interval and series of a stream; no series means all."""

    interval: str
    series: frozenset[SeriesKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Event:
    """A change of one candle; without a series, a reset of all candles of the interval."""

    number: int
    interval: str
    series: SeriesKey | None
    start: datetime | None
    frame: bytes

    def matches(self, subscription: Subscription) -> bool:
        """Whether streams with this subscription receive the event."""
        if self.interval != subscription.interval:
            return False
        series = subscription.series
        return not series or self.series is None or self.series in series


class Events:
    """At least the last `max_events` events. `run_id` changes with every start of the server."""

    def __init__(self, run_id: str, max_events: int) -> None:
        self._run_id = run_id
        self._max_events = max_events
        self._events: list[Event] = []
        #: The number of the newest event.
        self.newest = 0

    def add_change(self, interval: str, change: LiveChange) -> None:
        """Add an event for a new, changed or deleted candle."""
        if isinstance(change, Candle):
            kind, candle, data = b"candle", change, wire.update(interval, change)
        else:
            candle = change.candle
            kind, data = b"deleted", wire.deletion(interval, candle)
        self._add(interval, candle.series, candle.start, kind, data)

    def add_reset(self, interval: str) -> None:
        """Add a reset: any candle of the interval may have changed."""
        self._add(interval, None, None, b"reset", _EMPTY)

    def _add(
        self,
        interval: str,
        series: SeriesKey | None,
        start: datetime | None,
        kind: bytes,
        data: bytes,
    ) -> None:
        self.newest += 1
        frame = b"event: %b\nid: %b\ndata: %b\n\n" % (kind, self.event_id(self.newest), data)
        self._events.append(Event(self.newest, interval, series, start, frame))
        if len(self._events) > 2 * self._max_events:
            del self._events[: -self._max_events]

    def event_id(self, number: int) -> bytes:
        """The Last-Event-ID of an event number."""
        return f"{self._run_id}-{number}".encode()

    def event_number(self, last_event_id: str) -> int | None:
        """The number in a Last-Event-ID; None if another run issued it, or too long ago."""
        run_id, _, text = last_event_id.rpartition("-")
        if run_id != self._run_id or not (text.isascii() and text.isdigit()) or len(text) > 18:
            return None
        number = int(text)
        return number if self._oldest() <= number + 1 <= self.newest + 1 else None

    def _oldest(self) -> int:
        return self._events[0].number if self._events else self.newest + 1

    def reset(self) -> bytes:
        """The frame that tells a client to reload."""
        return b"event: reset\nid: %b\ndata: {}\n\n" % self.event_id(self.newest)

    def between(self, number: int, last: int, subscription: Subscription) -> bytes:
        """The newest frame of each candle that changed in events `number` + 1 to `last`."""
        if number + 1 < self._oldest():
            return self.reset()
        first, end = (
            bisect_right(self._events, n, key=lambda event: event.number) for n in (number, last)
        )
        frames = _newest(self._events[first:end], subscription)
        return self.reset() if sum(map(len, frames)) > _MAX_BYTES else b"".join(frames)


def _newest(events: Sequence[Event], subscription: Subscription) -> list[bytes]:
    frames: dict[tuple[SeriesKey | None, datetime | None], bytes] = {}
    for event in events:
        if event.matches(subscription):
            if event.series is None:
                frames.clear()
            candle = (event.series, event.start)
            # Moved to the end, as frames are sent in the order of their numbers.
            frames.pop(candle, None)
            frames[candle] = event.frame
    return list(frames.values())
