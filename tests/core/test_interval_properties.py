"""The interval table compared with datetime arithmetic."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.interval import BY_CODE, BY_NAME, COARSEST, FINEST, INTERVALS, Interval, finer
from tests import oracle
from tests.core.effort import effort
from tests.core.frames import us

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


def test_the_table_lists_all_intervals() -> None:
    assert [(i.code, i.name) for i in INTERVALS] == [
        ("m1", "1min"),
        ("m5", "5min"),
        ("m10", "10min"),
        ("m15", "15min"),
        ("m30", "30min"),
        ("h1", "1hour"),
        ("h3", "3hour"),
        ("h4", "4hour"),
        ("D1", "1day"),
        ("W1", "1week"),
        ("M1", "1month"),
    ]
    assert tuple(BY_NAME) == oracle.NAMES
    assert BY_CODE["m1"] is INTERVALS[FINEST]
    assert BY_CODE["M1"] is INTERVALS[COARSEST]
    assert len({name.lower() for name in BY_NAME}) == 11


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval.code)
def test_every_boundary_of_130_years(interval: Interval) -> None:
    """Each midnight, the microseconds around it, and moments in between."""
    moments = [timedelta(), MICROSECOND, -MICROSECOND, timedelta(hours=7, minutes=44, seconds=59.9)]
    days = [oracle.EPOCH + timedelta(days=n) for n in range((LAST - oracle.EPOCH).days)]
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


#: The finer intervals that end wherever an interval ends. A month need not start on a Monday.
FINER = {
    coarse: [fine for fine in oracle.NAMES[: oracle.NAMES.index(coarse)] if fine != "1week"]
    for coarse in oracle.NAMES
}
FINER["15min"] = ["1min", "5min"]
FINER["4hour"].remove("3hour")


@pytest.mark.parametrize("coarse", oracle.NAMES)
@effort(0.5)
@given(INSTANTS)
def test_a_boundary_is_also_a_boundary_of_finer_intervals(coarse: str, at: datetime) -> None:
    start, end = bounds(BY_NAME[coarse], [us(at)])[0]
    for fine in FINER[coarse]:
        assert [floor for floor, _ in bounds(BY_NAME[fine], [start, end])] == [start, end], fine


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval.code)
def test_the_longest_length_is_reached_and_never_exceeded(interval: Interval) -> None:
    at = [us(oracle.EPOCH + timedelta(days=n)) for n in range(800)]
    assert max(end - start for start, end in bounds(interval, at)) == interval.longest_us


def test_each_interval_is_a_multiple_of_a_finer_one() -> None:
    finer_codes = {i.code: fine.code for i in INTERVALS if (fine := finer(i)) is not None}
    assert finer_codes == {
        "m5": "m1",
        "m10": "m5",
        "m15": "m5",
        "m30": "m15",
        "h1": "m30",
        "h3": "h1",
        "h4": "h1",
        "D1": "h4",
        "W1": "D1",
        "M1": "D1",
    }


@effort()
@given(INSTANTS)
def test_an_interval_contains_its_finer_interval(at: datetime) -> None:
    instant = pl.select(at=pl.lit(us(at), pl.Int64))
    for coarse in INTERVALS[1:]:
        fine = finer(coarse)
        assert fine is not None
        fine_start = instant.select(fine.floor(pl.col("at")))
        start = instant.select(coarse.floor(pl.col("at")))
        assert fine_start.select(coarse.floor(pl.col("at"))).equals(start), coarse.code
        assert start.select(fine.floor(pl.col("at"))).equals(start), coarse.code
