"""How far each series is whose engine does not say which candles are final. Pure.

The rule is the engine's own: the series' newest tick, minus `watermark_delay`; and in a series
quiet for `idle_timeout` the time gone by since is added. That time is Kafka's: the largest
timestamp read.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.topics.latest import SeriesKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(slots=True)
class _Clock:
    """A series' newest tick, and when its newest record was written."""

    tick: datetime
    seen_ms: int


class Clocks:
    """The clocks of all series, in event time and in Kafka's."""

    def __init__(self, watermark_delay: timedelta, idle_timeout: timedelta) -> None:
        self._watermark_delay = watermark_delay
        self._idle_timeout = idle_timeout
        self.clear()

    def clear(self) -> None:
        """Forget everything: the topics are others now."""
        self._of: dict[SeriesKey, _Clock] = {}
        self._now_ms = 0
        self._beyond = timedelta()

    def saw(self, series: SeriesKey, tick: datetime, timestamp_ms: int) -> None:
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
        self._beyond = max(timedelta(), since - self._idle_timeout)

    def open_from(self, interval: int, series: SeriesKey) -> datetime | None:
        """What starts earlier is final; None where nothing is known."""
        clock = self._of.get(series)
        if clock is None:
            return None
        quiet = timedelta(milliseconds=self._now_ms - clock.seen_ms) + self._beyond
        reached = clock.tick - self._watermark_delay
        if quiet >= self._idle_timeout:
            reached += quiet
        at_us = pl.lit((reached - _EPOCH) // _MICROSECOND, pl.Int64)
        start_us: int = pl.select(INTERVALS[interval].floor(at_us)).item()
        return _EPOCH + start_us * _MICROSECOND
