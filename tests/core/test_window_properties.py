"""The same ticks give the same candles, whatever happens in between.

`Engine` uses a Window as the owner of a partition does: it applies batches, publishes, rolls back
and restarts from published candles. After every commit, the candles published so far are compared
with the oracle's candles for the ticks before the committed offset.
"""

from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.window import Window
from tests.core.partition_owners import (
    LATENESSES,
    NEVER_LATE,
    PUBLISH,
    Action,
    Engine,
    Step,
    check_finality,
    rules_of,
    scripts,
)
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import as_records, tick_frame, us, without_finality
from tests.support.tick_logs import SECOND, Log, any_logs, tick


@effort()
@given(any_logs(), scripts("abort"))
def test_batches_publishes_and_aborts_change_nothing(log: Log, script: list[Step]) -> None:
    Engine(log, NEVER_LATE).run(script)


@effort()
@given(any_logs(), scripts("abort"), LATENESSES)
def test_dropped_ticks_are_in_no_candle(
    log: Log, script: list[Step], allowed_lateness: timedelta
) -> None:
    Engine(log, allowed_lateness).run(script)


@effort(1.5)
@given(any_logs(), scripts("abort", "restart"), LATENESSES | st.just(NEVER_LATE))
def test_restarts_change_nothing(log: Log, script: list[Step], allowed_lateness: timedelta) -> None:
    Engine(log, allowed_lateness).run(script)


@effort(2.5)
@given(any_logs(), scripts("abort", "resume"), LATENESSES | st.just(NEVER_LATE))
def test_restarts_from_the_offset_metadata_change_nothing(
    log: Log, script: list[Step], allowed_lateness: timedelta
) -> None:
    Engine(log, allowed_lateness).run(script)


@effort()
@given(any_logs(), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_candles(log: Log, random: Random) -> None:
    """If no tick is dropped as late, only the choice among copies depends on the order."""
    firsts = [
        tick
        for tick, fate in zip([t for t, _ in log], oracle.fates([t for t, _ in log]), strict=True)
        if fate == "accepted"
    ]
    shuffled = list(firsts)
    random.shuffle(shuffled)
    published = []
    for order in (firsts, shuffled):
        engine = Engine([(t, datetime(2030, 1, 1)) for t in order], NEVER_LATE)
        engine.run([("apply", 3), PUBLISH, ("apply", 5)])
        published.append(without_finality(engine.published))
    assert published[0] == published[1]


@effort()
@given(any_logs(), scripts(), LATENESSES | st.just(NEVER_LATE))
def test_finality_and_revisions(log: Log, script: list[Step], allowed_lateness: timedelta) -> None:
    check_finality(log, script, allowed_lateness)


# --- restarts, case by case -------------------------------------------------------------------
NOON = datetime(2025, 3, 20, 12)


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def run(engine: Engine, *actions: Action) -> None:
    """Apply one tick per action, and publish after each."""
    for action in actions:
        engine.do((action, 1))
        if action == "apply":
            engine.publish()


RESTARTS = pytest.mark.parametrize("restart", ["restart", "resume"])


@RESTARTS
def test_a_restart_at_the_last_moment_of_a_correction(restart: Action) -> None:
    """Final candles and identities that a late tick may need are restored."""
    log = [
        (tick("S", "A", _at(0), 1), _at(0)),
        (tick("S", "A", _at(659.999999), 2), _at(660)),
        (tick("S", "B", _at(700), 1), _at(700)),
        (tick("S", "A", _at(0), 1), _at(701)),
        (tick("S", "A", _at(59.999999), 3), _at(702)),
    ]
    engine = Engine(log, timedelta(minutes=10))
    run(engine, "apply", "apply", "apply", restart, "apply", "apply")
    assert engine.current.duplicates == 1
    assert engine.published["1min", "S", "A", NOON]["volume"] == 2
    assert engine.published["1min", "S", "A", NOON]["revision"] == 2


@RESTARTS
def test_a_restart_restores_the_largest_event_time(restart: Action) -> None:
    """The event time of the last tick, not of the first tick of the last minute."""
    log = [(tick("S", "A", _at(s), 1), _at(150)) for s in (130, 150, 59)]
    engine = Engine(log, timedelta(seconds=90))
    run(engine, "apply", "apply", restart, "apply")
    assert engine.current.dropped == {2}


@RESTARTS
def test_a_dormant_series_becomes_final_and_wakes(restart: Action) -> None:
    """After a restart, the clock finalizes its candles and its next tick adds to them."""
    night = 12 * 3600
    log = [
        (tick("S", "A", _at(0), 1), _at(0)),
        (tick("S", "A", _at(1), 2), _at(1)),
        (tick("S", "B", _at(1200), 1), _at(1200)),
        (tick("S", "A", _at(2), 3), _at(1201)),
        (tick("S", "B", _at(2400), 2), _at(2400)),
        (tick("S", "B", _at(night + 3600), 3), _at(night + 3600)),
    ]
    engine = Engine(log, timedelta(minutes=10))
    run(engine, "apply", "apply", "apply", restart, "apply")
    midnight = NOON - timedelta(hours=12)
    assert engine.published["1day", "S", "A", midnight]["volume"] == 3
    run(engine, "apply", restart, "apply")
    assert engine.published["1day", "S", "A", midnight]["isFinal"]


def test_a_restart_does_not_delay_the_candles_of_an_idle_series() -> None:
    """Idle time counts from the newest tick, not from the newest published candle.

    The last tick is 30 s old when its minute becomes final. After a restart, its 5-minute candle
    must still become final after five minutes.
    """
    engine = Engine([(tick("S", "A", _at(30), 1), _at(30))], timedelta(minutes=10))
    engine.apply(1)
    engine.publish()
    engine.clock = _at(60)
    engine.publish()
    assert engine.published["1min", "S", "A", NOON]["isFinal"]
    engine.restart()
    engine.clock = _at(300)
    engine.publish()
    assert engine.published["5min", "S", "A", NOON]["isFinal"]


def test_a_decreasing_kafka_timestamp_makes_no_series_idle() -> None:
    """The partition clock is the largest timestamp read, in this batch or an earlier one."""
    log = [
        (tick("S", "A", _at(100), 1), _at(100)),
        (tick("S", "B", _at(30), 1), _at(50)),
    ]
    finals = []
    for size in (2, 1):
        engine = Engine(log, timedelta(minutes=10))
        engine.run([("apply", size)])
        finals.append(engine.published["1min", "S", "B", NOON]["isFinal"])
    assert finals == [False, False]


def test_a_dormant_series_keeps_its_candles_when_the_clock_finalizes_its_month() -> None:
    """Finalizing the month does not make the series active.

    A tick at 23:40 on the last day; restarts while the series is dormant and just after the clock
    has finalized its month; then a late tick of the same minute, and a duplicate.
    """
    end = datetime(2025, 4, 1)
    first = end - timedelta(minutes=20)
    first_tick, late = tick("S", "A", first, 1), tick("S", "A", first + SECOND, 2)
    seconds = (-18 * 60, -5 * 60, 1, 15 * 60 + 1)
    others = [end + timedelta(seconds=s) for s in seconds]
    log = [(first_tick, first), *((tick("S", "B", at, 1), at) for at in others)]
    log += [(late, others[-1]), (first_tick, others[-1])]
    engine = Engine(log, timedelta(minutes=10))
    step: list[Action] = ["apply", "publish"]
    restart: list[Action] = [*step, "resume"]
    actions = [*step, *step, *restart, *restart, *restart, *step, *step]
    for action in actions:
        engine.do((action, 1))
    assert engine.published["1min", "S", "A", first]["volume"] == 2


def test_a_candle_that_a_rebuild_leaves_out_is_never_published() -> None:
    begin = dict.fromkeys(DEFAULT_CALENDAR.codes, us(NOON))
    rules = rules_of(timedelta(minutes=10), publish_from_us=begin)
    log = [(tick("S", "A", _at(s), n), _at(s)) for n, s in enumerate((1, 61, 4000))]
    window, applied = Window(rules).apply(tick_frame([(n, *row) for n, row in enumerate(log)]))
    assert applied.accepted == 3
    _, published = window.publish(us(_at(4000)))
    assert {key[0] for key in as_records(published)} == {
        "1min",
        "5min",
        "10min",
        "15min",
        "30min",
        "1hour",
        "3hour",
        "4hour",
    }


def test_ticks_before_the_floor_are_dropped_as_late() -> None:
    """The floor holds for its own series only; a tick at the floor is in time."""
    log = [(tick(source, "A", _at(0), 1), _at(0)) for source in "ST"]
    log += [
        (tick(source, "A", _at(second), 2), _at(1))
        for source in "ST"
        for second in (-0.000001, 0.000001)
    ]
    rows = [(offset, *row) for offset, row in enumerate(log)]
    window, _ = Window(rules_of(timedelta(minutes=10))).apply(tick_frame(rows[:2]))
    window = window.raise_floor("S", "A", us(_at(0))).raise_floor("S", "A", us(_at(-60)))
    for batches in ([rows[2:]], [[row] for row in rows[2:]]):
        dropped, current = [], window
        for batch in batches:
            current, applied = current.apply(tick_frame(batch))
            dropped += applied.dropped_late["offset"].to_list()
        assert dropped == [2]
