"""What the job sends from: a source of tick records, and the pace they are sent at."""

from dataclasses import dataclass
from math import ceil
from typing import Final, Protocol

#: A schedule's end for whom nothing has to wait.
AT_ONCE_US: Final = (1 << 63) - 1
#: What has not been sent for so long is not caught up in a burst: the schedule moves instead.
MOST_BEHIND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Records:
    """Tick records in the order they are sent; as many keys as values."""

    keys: list[bytes]
    values: list[bytes]


class TickSource(Protocol):
    """Ticks in the order they are sent."""

    @property
    def total(self) -> int | None:
        """How many ticks there are in all, where that is known."""

    def take(self, now_us: int, most: int) -> Records | None:
        """The next ticks that are due by the wall clock, `most` at most; None after the last.

        `now_us` is microseconds since the epoch and does not go back much.
        """


class Pacer:
    """Which part of a schedule is due, where `speed` is the schedule's time over wall time.

    An infinite speed is no waiting at all. All instants are microseconds since the epoch.
    """

    def __init__(self, first_us: int, speed: float, now_us: int) -> None:
        self._speed = speed
        self._first_us = first_us
        self._began_us = now_us

    def due_us(self, now_us: int, next_us: int) -> int:
        """The instant of the schedule that has come, where `next_us` is the next to be sent."""
        if self._speed == float("inf"):
            return AT_ONCE_US
        behind_us = now_us - self.wall_us(next_us)
        if behind_us > MOST_BEHIND_US:
            # The machine slept, the broker was away, or the speed is more than can be sent.
            self._began_us += behind_us - MOST_BEHIND_US
        return self._first_us + int((now_us - self._began_us) * self._speed)

    def wall_us(self, schedule_us: int) -> int:
        """When an instant of the schedule comes."""
        if self._speed == float("inf"):
            return self._began_us
        return self._began_us + ceil((schedule_us - self._first_us) / self._speed)
