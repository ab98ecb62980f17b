"""Which intervals an installation has: a value that the functions of core take as an argument."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from homma.core.interval import BY_CODE, CLOCK, MINUTE_US, Interval

#: The intervals that homma has unless the setting `intervals` says otherwise.
DEFAULT_CODES: Final = ("m1", "m5", "m10", "m15", "m30", "h1", "h3", "h4", "D1", "W1", "M1")


@dataclass(frozen=True, slots=True)
class Calendar:
    """The chosen intervals, finest first and at least one."""

    intervals: tuple[Interval, ...]

    def __iter__(self) -> Iterator[Interval]:
        """The chosen intervals, finest first."""
        return iter(self.intervals)

    def __str__(self) -> str:
        """The codes, as the setting `intervals` has them."""
        return ",".join(self.codes)

    def __contains__(self, code: str) -> bool:
        """Whether an interval was chosen."""
        return code in self.codes

    def __getitem__(self, code: str) -> Interval:
        """A chosen interval by its code; KeyError if it was not chosen."""
        return {interval.code: interval for interval in self.intervals}[code]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the chosen intervals."""
        return tuple(interval.code for interval in self.intervals)

    @property
    def finest(self) -> Interval:
        """The shortest chosen interval."""
        return self.intervals[0]

    @property
    def coarsest(self) -> Interval:
        """The longest chosen interval."""
        return self.intervals[-1]

    @property
    def base(self) -> Interval:
        """The interval that ticks are aggregated into, which need not be chosen itself.

        Its length is the greatest common divisor of the chosen lengths, at most a minute.
        """
        common_us = math.gcd(MINUTE_US, *(interval.longest_us for interval in self.intervals))
        return next(i for i in BY_CODE.values() if i.longest_us == common_us)

    @property
    def aggregated(self) -> tuple[Interval, ...]:
        """The intervals that the engine aggregates: the chosen ones, and always months."""
        return self.intervals if CLOCK in self.intervals else (*self.intervals, CLOCK)

    def next_finer(self, interval: Interval) -> Interval | None:
        """The coarsest chosen interval that divides another one evenly; None if none does."""
        shorter = [i for i in self.intervals if i.longest_us < interval.longest_us]
        # A month of 31 days is not a whole number of weeks.
        divisors = [i for i in shorter if interval.longest_us % i.longest_us == 0]
        return divisors[-1] if divisors else None


def calendar_of(codes: Iterable[str]) -> Calendar:
    """The calendar of these codes, in any order; ValueError names a code that is no interval."""
    chosen = {code.strip() for code in codes if code.strip()}
    unknown = sorted(chosen - set(BY_CODE))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not one of {' '.join(BY_CODE)}")
    if not chosen:
        raise ValueError("at least one interval is needed, such as m1")
    return Calendar(tuple(interval for code, interval in BY_CODE.items() if code in chosen))


DEFAULT_CALENDAR: Final = calendar_of(DEFAULT_CODES)
