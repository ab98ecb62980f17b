"""Aligns partitions in event time. Pure."""

import math


class WatermarkAlignment:
    """Aligns the partitions of this process in event time.

    The ticks of a series come from many partitions. While one partition is behind, the others wait
    for it; otherwise its ticks would be late.
    """

    def __init__(self, max_drift_us: int) -> None:
        self._max_drift_us = max_drift_us
        self._progress_us: dict[int, float] = {}

    def advance(self, number: int, newest_us: float, oldest_us: float) -> None:
        """Set the newest event time read of a partition and the oldest one that still waits.

        `newest_us` is infinite at the end of the partition, `oldest_us` if no tick waits.
        """
        self._progress_us[number] = min(newest_us, oldest_us)

    def forget(self, number: int) -> None:
        """Remove a partition that was revoked."""
        self._progress_us.pop(number, None)

    @property
    def limit_us(self) -> float:
        """Ticks up to this event time may be forwarded."""
        return min(self._progress_us.values(), default=math.inf) + self._max_drift_us
