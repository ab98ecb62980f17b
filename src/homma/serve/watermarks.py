"""Watermarks of series whose engine does not record which candles are final. Pure.

They are estimated as `core/finality.py` defines. The time that a series has been idle is measured
by Kafka's clock: the largest timestamp of the records read.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from homma.core.finality import FinalityRules, open_from_us
from homma.core.interval import Interval
from homma.durations import microseconds
from homma.topics.candle import SeriesKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Progress:
    """A series' newest tick, and the largest Kafka timestamp of its records."""

    newest_tick: datetime
    timestamp_ms: int


class SeriesWatermarks:
    """The watermarks of all series."""

    def __init__(self, watermark_delay: timedelta, idle_timeout: timedelta) -> None:
        self.watermark_delay = watermark_delay
        self._idle_timeout = idle_timeout
        self._rules = FinalityRules(
            watermark_delay_us=microseconds(watermark_delay),
            idle_timeout_us=microseconds(idle_timeout),
        )
        self.clear()

    def clear(self) -> None:
        """Discard everything, as the topics were replaced."""
        self._progress: dict[SeriesKey, _Progress] = {}
        self._now_ms = 0
        self._silence = timedelta()

    def observe(self, series: SeriesKey, tick: datetime, timestamp_ms: int) -> None:
        """Take a record's newest tick time and Kafka timestamp."""
        progress = self._progress.setdefault(series, _Progress(tick, timestamp_ms))
        progress.newest_tick = max(progress.newest_tick, tick)
        progress.timestamp_ms = max(progress.timestamp_ms, timestamp_ms)
        self._now_ms = max(self._now_ms, timestamp_ms)
        self._silence = timedelta()

    def advance_idle(self, silence: timedelta) -> None:
        """Advance Kafka's time, after `silence` in which Kafka answered but had no records.

        Only what exceeds the idle timeout counts: Flink writes its records all at once, with each
        checkpoint.
        """
        self._silence = max(timedelta(), silence - self._idle_timeout)

    def open_from(self, interval: Interval, series: SeriesKey) -> datetime | None:
        """Candles that start before this time are final; None for an unknown series."""
        progress = self._progress.get(series)
        if progress is None:
            return None
        idle = timedelta(milliseconds=self._now_ms - progress.timestamp_ms) + self._silence
        watermark_us = self._rules.estimated_watermark_us(
            pl.lit(microseconds(progress.newest_tick - _EPOCH), pl.Int64),
            pl.lit(microseconds(idle), pl.Int64),
        )
        start_us: int = pl.select(open_from_us(interval, watermark_us)).item()
        return _EPOCH + timedelta(microseconds=start_us)
