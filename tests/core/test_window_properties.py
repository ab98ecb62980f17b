"""The same ticks give the same candles, whatever happens in between.

`Engine` uses a Window as the owner of a partition does: it applies batches, publishes, rolls back
and restarts from published candles. After every commit, the candles published so far are compared
with the oracle's candles for the ticks before the committed offset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.finality import FinalityRules
from homma.core.interval import CLOCK
from homma.core.window import Window, WindowRules
from homma.durations import microseconds
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import as_records, tick_frame, us, without_finality
from tests.support.oracle import Candle, Key, Publisher, Tick

SECOND = timedelta(seconds=1)
WATERMARK_DELAY = timedelta(seconds=2)
IDLE_TIMEOUT = timedelta(seconds=5)
CANDLE_KEY = ("source", "symbol", "interval", "start_us")

Action = Literal["apply", "wait", "publish", "abort", "restart", "resume"]
#: An action, with the number of ticks to apply or of seconds to wait.
Step = tuple[Action, float]
Log = list[tuple[Tick, datetime]]


def rules_of(
    allowed_lateness: timedelta,
    calendar: Calendar = DEFAULT_CALENDAR,
    publish_from_us: Mapping[str, int] | None = None,
) -> WindowRules:
    return WindowRules(
        calendar=calendar,
        publish_from_us=publish_from_us or {},
        finality=FinalityRules(
            watermark_delay_us=microseconds(WATERMARK_DELAY),
            idle_timeout_us=microseconds(IDLE_TIMEOUT),
            allowed_lateness_us=microseconds(allowed_lateness),
        ),
    )


@dataclass(frozen=True)
class State:
    """Everything that an abort undoes."""

    window: Window
    offset: int = 0
    dropped: frozenset[int] = frozenset()
    duplicates: int = 0
    accepted: int = 0
    #: Dormant series and the offset that all their ticks are before.
    dormant: dict[tuple[str, str], int] = field(default_factory=dict)


class Engine:
    """Successive owners of a partition, over one log of ticks."""

    def __init__(
        self, log: Log, allowed_lateness: timedelta, calendar: Calendar = DEFAULT_CALENDAR
    ) -> None:
        self.log = log
        self.allowed_lateness = allowed_lateness
        self.calendar = calendar
        self.rules = rules_of(allowed_lateness, calendar)
        self.clock = log[0][1] if log else oracle.EPOCH
        self.current = self.committed = State(Window(self.rules))
        #: Every candle record ever committed, and the newest record of each key.
        self.records: list[pl.DataFrame] = []
        self.published: dict[Key, Candle] = {}
        self.candles_from_us: dict[str, int] = {}
        self.recall_from = 0
        self.committed_clock = self.clock

    def apply(self, count: int) -> None:
        """Apply the next ticks in one batch."""
        batch = [
            (offset, *self.log[offset])
            for offset in range(
                self.current.offset, min(self.current.offset + count, len(self.log))
            )
        ]
        if not batch:
            return
        self._wake({oracle.series_of(tick) for _, tick, _ in batch})
        state = self.current
        window, applied = state.window.apply(tick_frame(batch))
        assert applied.accepted + applied.duplicates + applied.dropped_late.height == len(batch)
        self.clock = max(self.clock, batch[-1][2])
        self.current = State(
            window,
            state.offset + len(batch),
            state.dropped | set(applied.dropped_late["offset"]),
            state.duplicates + applied.duplicates,
            state.accepted + applied.accepted,
            state.dormant,
        )
        fates = oracle.fates(
            [tick for tick, _ in self.log[: self.current.offset]], self.allowed_lateness
        )
        assert self.current.dropped == {n for n, fate in enumerate(fates) if fate == "late"}
        assert self.current.duplicates == fates.count("duplicate")
        assert self.current.accepted == fates.count("accepted")

    def publish(self) -> dict[Key, Candle]:
        """Commit what has changed, and compare all that is committed with the oracle."""
        clock_us = us(self.clock)
        before = self.current.window
        window, published = before.publish(clock_us)
        assert before.publish(clock_us)[1].sort(CANDLE_KEY).equals(published.sort(CANDLE_KEY))
        assert window.publish(clock_us)[1].is_empty(), "published although nothing changed"
        changed = as_records(published)
        for key, candle in changed.items():
            _check_revision(self.published.get(key), candle)
        self.published |= changed
        # Kafka keeps milliseconds of a record's timestamp.
        self.records.append(
            published.drop("series").with_columns(
                published_us=pl.col("published_us") // 1000 * 1000,
                ticks_before=pl.lit(self.current.offset),
            )
        )
        self.current = self.committed = replace(self.current, window=window)
        self.committed_clock = self.clock
        self.candles_from_us = {
            code: at // 1000 * 1000 for code, at in window.candles_from_us.items()
        }
        self.recall_from = window.identities.recall_from(self.current.offset)
        self._compare()
        return changed

    def _compare(self) -> None:
        ticks = [tick for tick, _ in self.log[: self.current.offset]]
        # Months are always aggregated, and the base is not.
        names = [interval.name for interval in self.calendar.aggregated]
        counted = oracle.counted(ticks, self.allowed_lateness)
        assert without_finality(self.published) == oracle.candles(counted, intervals=names)
        # I5: ticks read = dropped as late + duplicates + the volume of an interval's candles.
        volume = sum(c["volume"] for key, c in self.published.items() if key[0] == names[0])
        assert self.current.offset == len(self.current.dropped) + self.current.duplicates + volume

    def abort(self) -> None:
        """Go back to the last commit; the ticks will be read again."""
        self.current = self.committed

    def _newest(self) -> pl.DataFrame:
        return pl.concat(self.records).unique(CANDLE_KEY, keep="last", maintain_order=True)

    def _ticks(self, start: int, end: int) -> pl.DataFrame:
        return tick_frame([(n, *self.log[n]) for n in range(start, end)])

    def restart(self) -> None:
        """A new owner that reads every published candle and every tick."""
        if not self.records:
            self.current = self.committed
            return
        window = Window(self.rules).restore_candles(self._newest())
        self._continue(window.restore_identities(self._ticks(0, self.committed.offset)), {})

    def resume(self) -> None:
        """A new owner that reads only what the metadata of the last commit requires.

        That is all months, other candles from `candles_from_us` on, and ticks from `recall_from`.
        A series whose month was not written recently is dormant: its candles and ticks are read
        with its next tick.
        """
        if not self.records:
            self.current = self.committed
            return
        newest = self._newest()
        since = pl.col("interval").replace_strict(self.candles_from_us, return_dtype=pl.Int64)
        read = newest.filter((pl.col("interval") == CLOCK.code) | (pl.col("published_us") >= since))
        dormant_before_us = us(self.committed_clock - self.allowed_lateness)
        months = newest.filter(pl.col("interval") == CLOCK.code).group_by("source", "symbol")
        latest = months.agg(pl.col("published_us").max(), pl.col("ticks_before").max())
        dormant = {
            (source, symbol): before
            for source, symbol, at, before in latest.iter_rows()
            if at < dormant_before_us
        }
        window = Window(self.rules).restore_candles(read)
        window = window.restore_identities(self._ticks(self.recall_from, self.committed.offset))
        self._continue(window, dormant)

    def _continue(self, window: Window, dormant: dict[tuple[str, str], int]) -> None:
        self.clock = self.committed_clock
        self.current = self.committed = replace(self.committed, window=window, dormant=dormant)

    def _wake(self, series: set[tuple[str, str]]) -> None:
        dormant = self.current.dormant
        waking = {name: before for name, before in dormant.items() if name in series}
        if not waking:
            return
        names = pl.DataFrame(list(waking), schema=["source", "symbol"], orient="row")
        candles = self._newest().join(names, on=["source", "symbol"], how="semi")
        ticks = self._ticks(0, max(waking.values()))
        window = self.current.window.restore_candles(candles)
        window = window.restore_identities(ticks.join(names, on=["source", "symbol"], how="semi"))
        left = {name: before for name, before in dormant.items() if name not in waking}
        self.current = replace(self.current, window=window, dormant=left)

    def do(self, step: Step) -> None:
        action, amount = step
        match action:
            case "apply":
                self.apply(int(amount))
            case "wait":
                self.clock += timedelta(seconds=amount)
            case "publish":
                self.publish()
            case "abort":
                self.abort()
            case "restart":
                self.restart()
            case "resume":
                self.resume()

    def run(self, script: list[Step]) -> None:
        for step in script:
            self.do(step)
        self.apply(len(self.log))
        self.publish()


def _check_revision(before: Candle | None, after: Candle) -> None:
    """Check isFinal and revision of two successive records of a candle."""
    if before is None or not before["isFinal"]:
        assert before is None or before["revision"] == 0
        assert after["revision"] == int(after["isFinal"])
    else:
        assert after["isFinal"]
        assert after["revision"] == before["revision"] + 1
    if before is not None:
        assert after["isFinal"] != before["isFinal"] or after["volume"] > before["volume"]


# --- ticks that collide -----------------------------------------------------------------------
ANCHORS = st.sampled_from(
    [
        datetime(2024, 1, 1),  # a Monday, start of a month and a year
        datetime(2024, 3, 1),  # the day before was a leap day
        datetime(2025, 3, 20, 12),  # start of every interval of minutes and hours
        datetime(2025, 3, 24),  # a Monday
        datetime(2025, 3, 20, 14, 31),  # start of a minute only
        datetime(1970, 1, 5),
        datetime(1970, 1, 1, 0, 4),
    ]
)
NAMES = st.sampled_from([("S", "A")] * 4 + [("S", "B"), ("T", "A")])
MOMENTS = st.sampled_from(
    [
        timedelta(),
        timedelta(microseconds=1),
        timedelta(seconds=2),
        timedelta(seconds=30),
        timedelta(seconds=59, milliseconds=999),
        timedelta(seconds=59, microseconds=999_999),
    ]
)
GAPS = st.sampled_from(
    [
        timedelta(),
        timedelta(milliseconds=1),
        SECOND,
        WATERMARK_DELAY,
        IDLE_TIMEOUT,
        timedelta(minutes=1),
        timedelta(minutes=3, microseconds=7),
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Ticks of a few series around one boundary, with increasing Kafka timestamps."""
    anchor = draw(ANCHORS)
    log: Log = []
    clock = anchor
    fields = st.tuples(
        NAMES, st.integers(-3, 3), MOMENTS, st.integers(0, 2), st.sampled_from([1.5, 2.5, 3.5])
    )
    drawn = draw(st.lists(fields, min_size=4, max_size=24))
    for (source, symbol), minute, moment, number, price in drawn:
        clock += draw(GAPS)
        at = anchor + timedelta(minutes=minute) + moment
        log.append((tick(source, symbol, at, number, price), clock))
    return log


def tick(source: str, symbol: str, at: datetime, number: int, price: float = 1.0) -> Tick:
    return {
        "source": source,
        "symbol": symbol,
        "ask": price + 1,
        "bid": price / 2,
        "mid": price,
        "number": number,
        "dateTime": at.isoformat(timespec="microseconds"),
    }


WAITS: st.SearchStrategy[list[Step]] = GAPS.map(lambda gap: [("wait", gap.total_seconds())])
PUBLISH: Step = ("publish", 0)


@st.composite
def scripts(draw: st.DrawFn, *faults: Action) -> list[Step]:
    """Batches of all sizes, each followed by nothing, a wait, a publish or one of `faults`."""
    steps = [[(action, 0.0)] for action in faults]
    ends = st.sampled_from([[PUBLISH], *([PUBLISH, *step] for step in steps), *steps])
    chunk = st.tuples(st.integers(1, 5), st.just([]) | WAITS, st.just([]) | ends)
    script: list[Step] = []
    for count, wait, end in draw(st.lists(chunk, min_size=2, max_size=12)):
        script += [("apply", count), *wait, *end]
    return script


#: Some are short enough to drop ticks, and some let dormant series be corrected.
LATENESSES = st.sampled_from(
    [
        WATERMARK_DELAY,
        timedelta(minutes=1),
        timedelta(minutes=1, microseconds=1),
        timedelta(minutes=2),
        timedelta(minutes=3),
        timedelta(minutes=3),
    ]
)
NEVER_LATE = timedelta(days=366)


@effort()
@given(logs(), scripts("abort"))
def test_batches_publishes_and_aborts_change_nothing(log: Log, script: list[Step]) -> None:
    Engine(log, NEVER_LATE).run(script)


@effort()
@given(logs(), scripts("abort"), LATENESSES)
def test_dropped_ticks_are_in_no_candle(
    log: Log, script: list[Step], allowed_lateness: timedelta
) -> None:
    Engine(log, allowed_lateness).run(script)


@effort(1.5)
@given(logs(), scripts("abort", "restart"), LATENESSES | st.just(NEVER_LATE))
def test_restarts_change_nothing(log: Log, script: list[Step], allowed_lateness: timedelta) -> None:
    Engine(log, allowed_lateness).run(script)


@effort(2.5)
@given(logs(), scripts("abort", "resume"), LATENESSES | st.just(NEVER_LATE))
def test_restarts_from_the_offset_metadata_change_nothing(
    log: Log, script: list[Step], allowed_lateness: timedelta
) -> None:
    Engine(log, allowed_lateness).run(script)


@effort()
@given(logs(), st.randoms(use_true_random=False))
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
@given(logs(), scripts(), LATENESSES | st.just(NEVER_LATE))
def test_finality_and_revisions(log: Log, script: list[Step], allowed_lateness: timedelta) -> None:
    """Every record equals the oracle's, isFinal and revision included."""
    engine = Engine(log, allowed_lateness)
    publisher = Publisher(
        allowed_lateness=allowed_lateness,
        watermark_delay=WATERMARK_DELAY,
        idle_timeout=IDLE_TIMEOUT,
    )
    steps: list[Step] = [*script, ("apply", len(log)), PUBLISH]
    # The window gets the clock from timestamps and from `publish`.
    clock = datetime.min
    for action, amount in steps:
        if action == "publish":
            clock = max(clock, engine.clock)
            assert engine.publish() == publisher.publish(engine.clock)
            continue
        offset = engine.current.offset
        engine.do((action, amount))
        for applied, at in log[offset : engine.current.offset]:
            clock = max(clock, at)
            publisher.apply(applied, clock)


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
