"""Tick sources, and the pace at which ticks are sent."""

from dataclasses import dataclass
from math import ceil
from typing import Final, Protocol

#: Later than every instant of a schedule: nothing has to wait.
AT_ONCE_US: Final = (1 << 63) - 1
#: A larger delay is not caught up in a burst. The schedule moves instead.
MAX_BEHIND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Records:
    """Keys and values of tick records, in the order in which they are sent."""

    keys: list[bytes]
    values: list[bytes]


class TickSource(Protocol):
    """Ticks in the order in which they are sent."""

    @property
    def total(self) -> int | None:
        """The total number of ticks, if known."""

    def take(self, now_us: int, limit: int) -> Records | None:
        """The next ticks that are due by the wall clock, at most `limit`; None after the last tick.

        `now_us` is the wall clock in microseconds since the epoch. It should not go back.
        """


class Pacer:
    """Computes which part of a schedule is due. `speed` is schedule time over wall time.

    At infinite speed everything is due. All instants are microseconds since the epoch.
    """

    def __init__(self, first_us: int, speed: float, now_us: int) -> None:
        self._speed = speed
        self._first_us = first_us
        self._began_us = now_us

    def due_us(self, now_us: int, next_us: int) -> int:
        """The instant up to which the schedule is due. `next_us` is the next instant to send."""
        if self._speed == float("inf"):
            return AT_ONCE_US
        behind_us = now_us - self.wall_us(next_us)
        if behind_us > MAX_BEHIND_US:
            # The machine slept, the broker was unreachable, or sending cannot keep up.
            self._began_us += behind_us - MAX_BEHIND_US
        return self._first_us + int((now_us - self._began_us) * self._speed)

    def wall_us(self, schedule_us: int) -> int:
        """The wall-clock time at which an instant of the schedule is due."""
        if self._speed == float("inf"):
            return self._began_us
        return self._began_us + ceil((schedule_us - self._first_us) / self._speed)
