"""How far each series is whose engine does not say which candles are final. Pure.

The rule is the engine's own: the series' newest tick, minus `lateness`; and in a series quiet for
`idle_after` the time gone by since is added. That time is Kafka's: the largest timestamp read.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.topics.latest import Series

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(slots=True)
class _Clock:
    """A series' newest tick, and when its newest record was written."""

    tick: datetime
    seen_ms: int


class Clocks:
    """The clocks of all series, in event time and in Kafka's."""

    def __init__(self, lateness: timedelta, idle_after: timedelta) -> None:
        self._lateness = lateness
        self._idle_after = idle_after
        self.clear()

    def clear(self) -> None:
        """Forget everything: the topics are others now."""
        self._of: dict[Series, _Clock] = {}
        self._now_ms = 0
        self._beyond = timedelta()

    def saw(self, series: Series, tick: datetime, timestamp_ms: int) -> None:
        """Take what a record says of its series."""
        clock = self._of.setdefault(series, _Clock(tick, timestamp_ms))
        clock.tick = max(clock.tick, tick)
        clock.seen_ms = max(clock.seen_ms, timestamp_ms)
        self._now_ms = max(self._now_ms, timestamp_ms)
        self._beyond = timedelta()

    def silent(self, since: timedelta) -> None:
        """Kafka has been asked and has had nothing for so long: its time runs on without records.

        Not from the first moment: Flink's records come with its checkpoints, all at once.
        """
        self._beyond = max(timedelta(), since - self._idle_after)

    def open_from(self, interval: int, series: Series) -> datetime | None:
        """What starts earlier is final; None where nothing is known."""
        clock = self._of.get(series)
        if clock is None:
            return None
        quiet = timedelta(milliseconds=self._now_ms - clock.seen_ms) + self._beyond
        reached = clock.tick - self._lateness
        if quiet >= self._idle_after:
            reached += quiet
        at_us = pl.lit((reached - _EPOCH) // _MICROSECOND, pl.Int64)
        start_us: int = pl.select(INTERVALS[interval].floor(at_us)).item()
        return _EPOCH + start_us * _MICROSECOND
