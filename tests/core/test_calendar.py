"""Calendars: which codes make one, and what follows from the chosen intervals."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR, DEFAULT_CODES, Calendar, calendar_of
from homma.core.interval import BY_CODE, CLOCK, MINUTE, Interval
from homma.durations import parse_duration
from homma.setting_values import all_settings, parse
from homma.settings import TopicSettings
from tests.core.calendars import calendars
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import us

INSTANTS = st.datetimes(oracle.EPOCH + timedelta(days=7), datetime(2101, 1, 1))


def chosen(text: str) -> Calendar:
    return calendar_of(text.split(","))


def floor(interval: Interval, at_us: int) -> int:
    return int(pl.select(interval.floor(pl.lit(at_us, pl.Int64))).item())


# --- codes ------------------------------------------------------------------------------------
def test_codes_may_come_in_any_order_and_twice() -> None:
    calendar = chosen(" M1,s5,m1 ,m1, h4,")
    assert calendar.codes == ("s5", "m1", "h4", "M1")
    assert str(calendar) == "s5,m1,h4,M1"
    assert calendar == chosen("M1,h4,m1,s5")
    assert (calendar.finest.code, calendar.coarsest.code) == ("s5", "M1")
    assert list(calendar) == [BY_CODE[code] for code in calendar.codes]


@pytest.mark.parametrize("code", ["m7", "s60", "h24", "h5", "D2", "M3", "d1", "1m", "m", "m01"])
def test_what_is_no_interval_is_named(code: str) -> None:
    with pytest.raises(ValueError, match=rf"'{code}' is not one of s1 s2 .* D1 W1 M1"):
        chosen(f"m1,{code}")


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_a_calendar_has_at_least_one_interval(text: str) -> None:
    with pytest.raises(ValueError, match="at least one interval"):
        chosen(text)


def test_m_is_minutes_and_capital_m_months() -> None:
    assert [i.name for i in chosen("m1,M1")] == ["1min", "1month"]
    calendar = chosen("m1")
    assert "m1" in calendar
    assert "M1" not in calendar
    with pytest.raises(KeyError):
        calendar["M1"]


def test_the_setting() -> None:
    row = all_settings()["intervals"]
    assert parse(row, "h1, m1") == chosen("m1,h1")
    assert TopicSettings().intervals == DEFAULT_CALENDAR == calendar_of(DEFAULT_CODES)
    with pytest.raises(ValueError, match="'m7' is not one of"):
        parse(row, "m7")
    # Another setting's type is not affected.
    assert parse(all_settings()["emit_every"], "2s") == parse_duration("2s")


# --- what follows from them -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("codes", "base"),
    [
        ("m1,m5", "m1"),
        ("m20,m30", "m1"),
        ("D1", "m1"),
        ("W1,M1", "m1"),
        ("s10,s15", "s5"),
        ("s12,s20", "s4"),
        ("s30,m1", "s30"),
        ("s1,M1", "s1"),
        ("s4,h1", "s4"),
    ],
)
def test_the_base(codes: str, base: str) -> None:
    assert chosen(codes).base.code == base


@pytest.mark.parametrize(
    ("codes", "aggregated"),
    [("s1,m1", "s1,m1,M1"), ("m1,M1", "m1,M1"), ("M1", "M1"), ("W1", "W1,M1")],
)
def test_months_are_always_aggregated(codes: str, aggregated: str) -> None:
    assert ",".join(interval.code for interval in chosen(codes).aggregated) == aggregated
    assert str(chosen(codes)) == codes


def test_each_default_interval_is_a_multiple_of_a_finer_one() -> None:
    finer = {i.code: fine.code for i in DEFAULT_CALENDAR if (fine := _finer(i))}
    assert finer == {
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


def _finer(interval: Interval) -> Interval | None:
    return DEFAULT_CALENDAR.next_finer(interval)


def test_no_chosen_interval_need_divide_another() -> None:
    calendar = chosen("m20,m30,W1,M1")
    assert calendar.next_finer(calendar["m30"]) is None
    assert calendar.next_finer(calendar["M1"]) == calendar["m30"]


@effort(4)
@given(calendars())
def test_the_base_divides_every_interval(calendar: Calendar) -> None:
    base = calendar.base
    assert base.longest_us <= MINUTE.longest_us
    assert all(interval.longest_us % base.longest_us == 0 for interval in calendar.aggregated)
    # It is the longest that does.
    longer = [i for i in BY_CODE.values() if base.longest_us < i.longest_us <= MINUTE.longest_us]
    lengths = [interval.longest_us for interval in calendar]
    assert not any(all(length % i.longest_us == 0 for length in lengths) for i in longer)
    assert calendar.aggregated[-1] is CLOCK


@effort(4)
@given(calendars(), INSTANTS)
def test_an_interval_nests_in_those_that_it_divides(calendar: Calendar, at: datetime) -> None:
    """Its starts and those of the base are common, so that candles can be rolled up."""
    at_us = us(at)
    for coarse in calendar.aggregated:
        start = floor(coarse, at_us)
        finer = calendar.next_finer(coarse)
        for fine in (calendar.base, finer) if finer else (calendar.base,):
            assert floor(coarse, floor(fine, at_us)) == start, (fine.code, coarse.code)
            assert floor(fine, start) == start, (fine.code, coarse.code)
