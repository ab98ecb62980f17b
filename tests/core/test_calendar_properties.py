"""The window with any calendar: the candles are the oracle's, and no interval affects another."""

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR, Calendar, calendar_of
from homma.core.interval import BY_CODE, MINUTE_US
from homma.core.recompute import recompute
from homma.core.window import Window
from tests.core.calendars import calendars
from tests.core.partition_owners import (
    LATENESSES,
    NEVER_LATE,
    Engine,
    Step,
    check_finality,
    rules_of,
    scripts,
)
from tests.core.recomputed import by_key, expected, frame, slices, ticks
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import tick_frame, us
from tests.support.oracle import Tick
from tests.support.tick_logs import Log, any_logs, tick

SECONDS = [code for code, interval in BY_CODE.items() if interval.longest_us < MINUTE_US]
OTHERS = [code for code in BY_CODE if code not in SECONDS]


@effort(2)
@given(
    any_logs(), scripts("abort", "restart", "resume"), LATENESSES | st.just(NEVER_LATE), calendars()
)
def test_restarts_change_nothing_whatever_the_intervals_are(
    log: Log, script: list[Step], allowed_lateness: timedelta, calendar: Calendar
) -> None:
    """`Engine` compares with the oracle after each commit: the base is not published."""
    Engine(log, allowed_lateness, calendar).run(script)


@effort()
@given(any_logs(), scripts(), LATENESSES | st.just(NEVER_LATE), calendars())
def test_finality_and_revisions_whatever_the_intervals_are(
    log: Log, script: list[Step], allowed_lateness: timedelta, calendar: Calendar
) -> None:
    check_finality(log, script, allowed_lateness, calendar)


@effort()
@given(
    any_logs(),
    scripts("abort", "restart", "resume"),
    LATENESSES | st.just(NEVER_LATE),
    st.sets(st.sampled_from(SECONDS), min_size=1),
    st.sets(st.sampled_from(OTHERS), min_size=1),
    st.sets(st.sampled_from(OTHERS)),
)
def test_minutes_and_longer_do_not_depend_on_the_other_intervals(
    log: Log,
    script: list[Step],
    allowed_lateness: timedelta,
    seconds: set[str],
    common: set[str],
    others: set[str],
) -> None:
    """Their candles are equal in all fields, and the same ticks are dropped or duplicates."""
    engines = [
        Engine(log, allowed_lateness, calendar_of(codes))
        for codes in (common, common | seconds, common | others, seconds | common | others)
    ]
    names = {BY_CODE[code].name for code in common}
    results = []
    for engine in engines:
        engine.run(script)
        published = {key: row for key, row in engine.published.items() if key[0] in names}
        results.append((published, engine.current.dropped, engine.current.duplicates))
    assert all(result == results[0] for result in results)


@effort()
@given(any_logs(), calendars())
def test_the_pending_candles_are_those_of_the_base(log: Log, calendar: Calendar) -> None:
    engine = Engine(log, NEVER_LATE, calendar)
    batch = tick_frame([(offset, *row) for offset, row in enumerate(log)])
    window, _ = engine.current.window.apply(batch)
    codes = {code for part in window.pending for code in part["interval"]}
    assert codes == {calendar.base.code}


@effort()
@given(ticks(), st.lists(st.integers(0, 5 * 1440), max_size=3), calendars())
def test_recomputed_candles_equal_the_oracle_whatever_the_intervals_are(
    drawn_ticks: list[Tick], minutes: list[int], calendar: Calendar
) -> None:
    rows = frame(drawn_ticks)
    first_us = int(rows["event_us"].min() or 0)  # type: ignore[arg-type]
    edges = [first_us // MINUTE_US * MINUTE_US + minute * MINUTE_US for minute in minutes]
    candles = pl.concat(recompute(slices(rows, edges), calendar))
    assert by_key(candles) == expected(drawn_ticks, calendar)


def test_a_withheld_interval_does_not_withhold_others() -> None:
    at = oracle.EPOCH + timedelta(days=20_000)
    calendar = calendar_of(["s5", *DEFAULT_CALENDAR.codes])
    begin_us = us(at) + 7_000_000
    window = Window(rules_of(NEVER_LATE, calendar, {"s5": begin_us}))
    quotes = [(n, tick("S", "A", at + timedelta(seconds=n), n), at) for n in range(16)]
    window, _ = window.apply(tick_frame(quotes))
    _, published = window.publish(begin_us)
    counts = dict(published.group_by("interval").len().iter_rows())
    assert counts == {**dict.fromkeys(DEFAULT_CALENDAR.codes, 1), "s5": 2}
