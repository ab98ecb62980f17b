"""The interval table against datetime arithmetic."""

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


def both(interval: Interval, instants: list[int]) -> list[tuple[int, int]]:
    at = pl.DataFrame({"at": instants}, schema={"at": pl.Int64})
    start = interval.floor(pl.col("at"))
    return at.select(start=start, next=interval.next(start)).rows()


def expected(interval: Interval, at: datetime) -> tuple[int, int]:
    start = oracle.start_of(interval.name, at)
    return us(start), us(oracle.end_of(interval.name, start))


def test_the_table() -> None:
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
    """Each midnight, the microseconds beside it, and moments in between."""
    moments = [timedelta(), MICROSECOND, -MICROSECOND, timedelta(hours=7, minutes=44, seconds=59.9)]
    days = [oracle.EPOCH + timedelta(days=n) for n in range((LAST - oracle.EPOCH).days)]
    instants = [day + moment for day in days[1:] for moment in moments]
    found = both(interval, [us(at) for at in instants])
    assert found == [expected(interval, at) for at in instants]


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval.code)
@effort()
@given(st.lists(INSTANTS, min_size=1, max_size=20))
def test_an_instant_lies_in_its_interval(interval: Interval, instants: list[datetime]) -> None:
    numbers = [us(at) for at in instants]
    found = both(interval, numbers)
    assert found == [expected(interval, at) for at in instants]
    for at, (start, end) in zip(numbers, found, strict=True):
        assert start <= at < end <= start + interval.longest_us
    # The start is its own floor, and the instant before the end belongs to it.
    assert both(interval, [start for start, _ in found]) == found
    assert both(interval, [end - 1 for _, end in found]) == found
    assert [start for start, _ in both(interval, [end for _, end in found])] == [
        end for _, end in found
    ]


#: Which intervals end wherever a coarser one ends. A month need not begin on a Monday.
FINER = {
    coarse: [fine for fine in oracle.NAMES[: oracle.NAMES.index(coarse)] if fine != "1week"]
    for coarse in oracle.NAMES
}
FINER["15min"] = ["1min", "5min"]
FINER["4hour"].remove("3hour")


@pytest.mark.parametrize("coarse", oracle.NAMES)
@effort(0.5)
@given(INSTANTS)
def test_a_boundary_is_one_of_the_finer_intervals_too(coarse: str, at: datetime) -> None:
    start, end = both(BY_NAME[coarse], [us(at)])[0]
    for fine in FINER[coarse]:
        assert [floor for floor, _ in both(BY_NAME[fine], [start, end])] == [start, end], fine


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval.code)
def test_longest_is_reached_and_never_exceeded(interval: Interval) -> None:
    at = [us(oracle.EPOCH + timedelta(days=n)) for n in range(800)]
    assert max(end - start for start, end in both(interval, at)) == interval.longest_us


def test_each_interval_is_made_of_whole_ones_of_a_finer_one() -> None:
    found = {i.code: below.code for i in INTERVALS if (below := finer(i)) is not None}
    assert found == {
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
def test_an_instant_lies_in_a_coarse_interval_with_its_finer_one(at: datetime) -> None:
    instant = pl.select(at=pl.lit(us(at), pl.Int64))
    for coarse in INTERVALS[1:]:
        fine = finer(coarse)
        assert fine is not None
        fine_start = instant.select(fine.floor(pl.col("at")))
        start = instant.select(coarse.floor(pl.col("at")))
        assert fine_start.select(coarse.floor(pl.col("at"))).equals(start), coarse.code
        assert start.select(fine.floor(pl.col("at"))).equals(start), coarse.code
