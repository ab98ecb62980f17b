"""Calendars for property tests."""

from hypothesis import strategies as st

from homma.core.calendar import Calendar, calendar_of
from homma.core.interval import BY_CODE


def calendars() -> st.SearchStrategy[Calendar]:
    """Any calendar; most have few intervals, so that their base is rarely a second."""
    few = st.sets(st.sampled_from(list(BY_CODE)), min_size=1, max_size=4)
    many = st.sets(st.sampled_from(list(BY_CODE)), min_size=1)
    return (few | few | many).map(calendar_of)
