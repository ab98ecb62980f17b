"""The intervals that homma can aggregate, one row each. An interval's identity is its code.

Which of them an installation has is its calendar: see `core/calendar.py`. Instants are int64
microseconds since the epoch, UTC. An interval is [start, end).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
# The epoch was a Thursday: the Monday before it is three days earlier.
MONDAY_US: Final = 3 * DAY_US

Instant = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of the table.

    `code` is what users type (m1 and M1 differ only by case); `name` is part of the names of
    topics and tables. `floor` gives the start of the interval that contains an instant, and
    `next` the start of the following interval. `longest_us` bounds the length, as months differ.
    `resolution` and `aliases` are the names that TradingView's UDF protocol gives the interval.
    """

    code: str
    name: str
    floor: Instant
    next: Instant
    longest_us: int
    resolution: str
    aliases: tuple[str, ...] = ()


def _fixed(code: str, name: str, length_us: int, resolution: str, *aliases: str) -> Interval:
    # Each of these lengths divides a day, and the epoch is a midnight.
    return Interval(
        code,
        name,
        lambda at: at - at % length_us,
        lambda at: at + length_us,
        length_us,
        resolution,
        aliases,
    )


def _week_floor(at: pl.Expr) -> pl.Expr:
    return at - (at + MONDAY_US) % (7 * DAY_US)


def _week_next(start: pl.Expr) -> pl.Expr:
    return start + 7 * DAY_US


def _month_floor(at: pl.Expr) -> pl.Expr:
    return at.cast(pl.Datetime("us")).dt.truncate("1mo").cast(pl.Int64)


def _month_next(start: pl.Expr) -> pl.Expr:
    return start.cast(pl.Datetime("us")).dt.offset_by("1mo").cast(pl.Int64)


#: The divisors of 60 and of 24 that a count of seconds, minutes or hours may be.
_OF_SIXTY: Final = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
_OF_A_DAY: Final = (1, 2, 3, 4, 6, 8, 12)

_ROWS: Final = (
    *(_fixed(f"s{n}", f"{n}sec", n * SECOND_US, f"{n}S") for n in _OF_SIXTY),
    *(_fixed(f"m{n}", f"{n}min", n * MINUTE_US, str(n)) for n in _OF_SIXTY),
    *(_fixed(f"h{n}", f"{n}hour", n * HOUR_US, str(60 * n)) for n in _OF_A_DAY),
    _fixed("D1", "1day", DAY_US, "1D", "D"),
    Interval("W1", "1week", _week_floor, _week_next, 7 * DAY_US, "1W", ("W",)),
    Interval("M1", "1month", _month_floor, _month_next, 31 * DAY_US, "1M", ("M",)),
)

#: Every interval by its code, finest first.
BY_CODE: Final[Mapping[str, Interval]] = {interval.code: interval for interval in _ROWS}
#: The type of a frame's `interval` column: codes that sort from the finest to the coarsest.
CODE: Final = pl.Enum(list(BY_CODE))

MINUTE: Final = BY_CODE["m1"]
DAY: Final = BY_CODE["D1"]
#: The engine always aggregates months: their candles carry the clock of each series over restarts.
CLOCK: Final = BY_CODE["M1"]
