"""The eleven intervals. They are listed by hand only in this table.

Instants are int64 microseconds since the epoch, UTC. An interval is [start, end).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

MINUTE_US: Final = 60_000_000
DAY_US: Final = 1440 * MINUTE_US
# The epoch was a Thursday, so the Monday before it is three days earlier.
MONDAY_US: Final = 3 * DAY_US

Instant = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of the table.

    People type the `code` (m1 and M1 differ only by case); topics and tables are named by
    `name`. `floor` turns an instant into the start of its interval, and `next` turns a start into
    the next start. `longest_us` is the largest length: months differ.
    """

    code: str
    name: str
    floor: Instant
    next: Instant
    longest_us: int


def _minutes(code: str, name: str, count: int) -> Interval:
    length_us = count * MINUTE_US
    # Each of these lengths divides a day, and the epoch is a midnight.
    return Interval(
        code, name, lambda at: at - at % length_us, lambda at: at + length_us, length_us
    )


def _month_floor(at: pl.Expr) -> pl.Expr:
    return at.cast(pl.Datetime("us")).dt.truncate("1mo").cast(pl.Int64)


def _month_next(start: pl.Expr) -> pl.Expr:
    return start.cast(pl.Datetime("us")).dt.offset_by("1mo").cast(pl.Int64)


INTERVALS: Final = (
    _minutes("m1", "1min", 1),
    _minutes("m5", "5min", 5),
    _minutes("m10", "10min", 10),
    _minutes("m15", "15min", 15),
    _minutes("m30", "30min", 30),
    _minutes("h1", "1hour", 60),
    _minutes("h3", "3hour", 180),
    _minutes("h4", "4hour", 240),
    _minutes("D1", "1day", 1440),
    Interval(
        "W1",
        "1week",
        lambda at: at - (at + MONDAY_US) % (7 * DAY_US),
        lambda at: at + 7 * DAY_US,
        7 * DAY_US,
    ),
    Interval("M1", "1month", _month_floor, _month_next, 31 * DAY_US),
)

#: The `interval` column of a row is an index in INTERVALS, finest first.
FINEST: Final = 0
COARSEST: Final = len(INTERVALS) - 1

BY_CODE: Final = {interval.code: interval for interval in INTERVALS}
BY_NAME: Final = {interval.name: interval for interval in INTERVALS}


def finer(interval: Interval) -> Interval | None:
    """The coarsest interval that divides this one evenly; None for the minute."""
    shorter = INTERVALS[: INTERVALS.index(interval)]
    # A month of 31 days is no whole number of weeks.
    divisors = [i for i in shorter if interval.longest_us % i.longest_us == 0]
    return divisors[-1] if divisors else None
