"""The interval table compared with datetime arithmetic."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import BY_CODE, CODE, DAY_US, Interval
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import us

INTERVALS = tuple(BY_CODE.values())
LAST = datetime(2101, 1, 1)
INSTANTS = st.datetimes(oracle.EPOCH, LAST)
MICROSECOND = timedelta(microseconds=1)


def bounds(interval: Interval, instants: list[int]) -> list[tuple[int, int]]:
    at = pl.DataFrame({"at": instants}, schema={"at": pl.Int64})
    start = interval.floor(pl.col("at"))
    return at.select(start=start, next=interval.next(start)).rows()


def expected(interval: Interval, at: datetime) -> tuple[int, int]:
    start = oracle.start_of(interval.name, at)
    return us(start), us(oracle.end_of(interval.name, start))


def test_the_table_lists_all_intervals_from_the_finest_to_the_coarsest() -> None:
    assert {interval.code: interval.name for interval in INTERVALS} == oracle.NAME_OF
    lengths = [interval.longest_us for interval in INTERVALS]
    assert lengths == sorted(set(lengths))
    assert list(BY_CODE) == list(oracle.NAME_OF) == CODE.categories.to_list()
    assert len({name.lower() for name in oracle.NAME_OF.values()}) == len(INTERVALS)


def test_the_names_of_tradingviews_protocol() -> None:
    """A unit and a count in seconds, minutes, days, weeks and months."""
    names = {code: (i.resolution, *i.aliases) for code, i in BY_CODE.items()}
    assert {code: names[code] for code in ("s1", "s30", "m1", "m30", "h1", "h4", "h12")} == {
        "s1": ("1S",),
        "s30": ("30S",),
        "m1": ("1",),
        "m30": ("30",),
        "h1": ("60",),
        "h4": ("240",),
        "h12": ("720",),
    }
    assert [names[code] for code in ("D1", "W1", "M1")] == [("1D", "D"), ("1W", "W"), ("1M", "M")]
    flat = [name for group in names.values() for name in group]
    assert len(flat) == len(set(flat))


def test_the_default_intervals() -> None:
    assert tuple(interval.name for interval in DEFAULT_CALENDAR) == oracle.NAMES


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval.code)
def test_every_boundary_of_130_years(interval: Interval) -> None:
    """Each midnight, the microseconds around it, and moments in between.

    Shorter intervals are the same every day, so some of the days are enough.
    """
    moments = [timedelta(), MICROSECOND, -MICROSECOND, timedelta(hours=7, minutes=44, seconds=59.9)]
    step = 1 if interval.longest_us >= DAY_US else 53
    days = [oracle.EPOCH + timedelta(days=n) for n in range(0, (LAST - oracle.EPOCH).days, step)]
    instants = [day + moment for day in days[1:] for moment in moments]
    actual = bounds(interval, [us(at) for at in instants])
    assert actual == [expected(interval, at) for at in instants]


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval.code)
@effort()
@given(st.lists(INSTANTS, min_size=1, max_size=20))
def test_an_instant_is_in_its_interval(interval: Interval, instants: list[datetime]) -> None:
    numbers = [us(at) for at in instants]
    actual = bounds(interval, numbers)
    assert actual == [expected(interval, at) for at in instants]
    for at, (start, end) in zip(numbers, actual, strict=True):
        assert start <= at < end <= start + interval.longest_us
    # The floor of a start is the start, and the instant before the end is in the interval.
    assert bounds(interval, [start for start, _ in actual]) == actual
    assert bounds(interval, [end - 1 for _, end in actual]) == actual
    assert [start for start, _ in bounds(interval, [end for _, end in actual])] == [
        end for _, end in actual
    ]


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval.code)
def test_the_longest_length_is_reached_and_never_exceeded(interval: Interval) -> None:
    at = [us(oracle.EPOCH + timedelta(days=n)) for n in range(800)]
    assert max(end - start for start, end in bounds(interval, at)) == interval.longest_us
