"""The same ticks give the same candles, whatever happens on the way.

`Engine` does to a Window what a partition's owner does: it takes batches, publishes, rolls back
and restarts from what was published. At every commit the candles published so far are compared
with the oracle's for the ticks before the committed offset.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.interval import COARSEST
from homma.core.window import Window, WindowRules
from tests import oracle
from tests.core.effort import effort
from tests.core.frames import tick_frame, told, us, without_finality
from tests.oracle import Candle, Key, Publisher, Tick

SECOND = timedelta(seconds=1)
WATERMARK_DELAY = timedelta(seconds=2)
IDLE_TIMEOUT = timedelta(seconds=5)
NEWEST_OF_EACH = ("source", "symbol", "interval", "start_us")

Action = Literal["take", "wait", "publish", "abort", "restart", "return"]
#: What is done, with the number of ticks taken or the seconds waited.
Step = tuple[Action, float]
Log = list[tuple[Tick, datetime]]


def rules_of(allowed_lateness: timedelta) -> WindowRules:
    return WindowRules(
        watermark_delay_us=WATERMARK_DELAY // timedelta(microseconds=1),
        idle_timeout_us=IDLE_TIMEOUT // timedelta(microseconds=1),
        allowed_lateness_us=allowed_lateness // timedelta(microseconds=1),
    )


@dataclass(frozen=True)
class State:
    """All that an abort takes back."""

    window: Window
    offset: int = 0
    late: frozenset[int] = frozenset()
    duplicates: int = 0
    accepted: int = 0
    #: Dormant series and the offset before which their ticks are.
    dormant: dict[tuple[str, str], int] = field(default_factory=dict)


class Engine:
    """One owner of a partition after the other, over one log of ticks."""

    def __init__(self, log: Log, allowed_lateness: timedelta) -> None:
        self.log = log
        self.allowed_lateness = allowed_lateness
        self.clock = log[0][1] if log else oracle.EPOCH
        self.now = self.then = State(Window(rules_of(allowed_lateness)))
        #: Every candle record ever committed, and the newest of each key as readers see it.
        self.records: list[pl.DataFrame] = []
        self.published: dict[Key, Candle] = {}
        self.candles_from: list[int] = []
        self.recall_from = 0
        self.committed_clock = self.clock

    def take(self, count: int) -> None:
        """Apply the next ticks, in one batch."""
        batch = [
            (offset, *self.log[offset])
            for offset in range(self.now.offset, min(self.now.offset + count, len(self.log)))
        ]
        if not batch:
            return
        self._wake({oracle.series_of(tick) for _, tick, _ in batch})
        now = self.now
        window, applied = now.window.apply(tick_frame(batch))
        assert applied.accepted + applied.duplicates + applied.late.height == len(batch)
        self.clock = max(self.clock, batch[-1][2])
        self.now = State(
            window,
            now.offset + len(batch),
            now.late | set(applied.late["offset"]),
            now.duplicates + applied.duplicates,
            now.accepted + applied.accepted,
            now.dormant,
        )
        fates = oracle.fates(
            [tick for tick, _ in self.log[: self.now.offset]], self.allowed_lateness
        )
        assert self.now.late == {n for n, fate in enumerate(fates) if fate == "late"}
        assert self.now.duplicates == fates.count("duplicate")
        assert self.now.accepted == fates.count("accepted")

    def publish(self) -> dict[Key, Candle]:
        """Commit what has changed, and compare all that is committed with the oracle."""
        clock_us = us(self.clock)
        before = self.now.window
        window, out = before.publish(clock_us)
        assert before.publish(clock_us)[1].sort(NEWEST_OF_EACH).equals(out.sort(NEWEST_OF_EACH))
        assert window.publish(clock_us)[1].is_empty(), "published though nothing changed"
        news = told(out)
        for key, candle in news.items():
            _check_step(self.published.get(key), candle)
        self.published |= news
        # Kafka keeps milliseconds of a record's timestamp.
        self.records.append(
            out.drop("series").with_columns(
                published_us=pl.col("published_us") // 1000 * 1000,
                ticks_before=pl.lit(self.now.offset),
            )
        )
        self.now = self.then = State(
            window,
            self.now.offset,
            self.now.late,
            self.now.duplicates,
            self.now.accepted,
            self.now.dormant,
        )
        self.committed_clock = self.clock
        self.candles_from = [at // 1000 * 1000 for at in window.candles_from_us]
        self.recall_from = window.identities.recall_from(self.now.offset)
        self._compare()
        return news

    def _compare(self) -> None:
        ticks = [tick for tick, _ in self.log[: self.now.offset]]
        expected = oracle.candles(oracle.counted(ticks, self.allowed_lateness))
        assert without_finality(self.published) == expected
        # I5: consumed = dead + too late + duplicates + the volume of the 1-minute candles.
        volume = sum(c["volume"] for key, c in self.published.items() if key[0] == "1min")
        assert self.now.offset == len(self.now.late) + self.now.duplicates + volume

    def abort(self) -> None:
        """Go back to the state of the last commit; the ticks will be read again."""
        self.now = self.then

    def _newest(self) -> pl.DataFrame:
        return pl.concat(self.records).unique(NEWEST_OF_EACH, keep="last", maintain_order=True)

    def _ticks(self, start: int, end: int) -> pl.DataFrame:
        return tick_frame([(n, *self.log[n]) for n in range(start, end)])

    def restart(self) -> None:
        """A new owner that reads all that was ever published and all ticks."""
        if not self.records:
            self.now = self.then
            return
        window = Window(rules_of(self.allowed_lateness)).restore_candles(self._newest())
        self._restarted(window.restore_identities(self._ticks(0, self.then.offset)), {})

    def return_(self) -> None:
        """A new owner that reads no more than the last commit says it must.

        That is the months whole, the rest from `candles_from_us` on, and ticks from
        `recall_from`. A series whose month was not written lately is dormant: its candles and
        ticks are read when it shows a tick.
        """
        if not self.records:
            self.now = self.then
            return
        since = pl.Series(self.candles_from)
        newest = self._newest()
        read = newest.filter(
            (pl.col("interval") == COARSEST)
            | (pl.col("published_us") >= since.gather(newest["interval"]))
        )
        quiet_us = us(self.committed_clock - self.allowed_lateness)
        months = newest.filter(pl.col("interval") == COARSEST).group_by("source", "symbol")
        lately = months.agg(pl.col("published_us").max(), pl.col("ticks_before").max())
        dormant = {
            (source, symbol): before
            for source, symbol, at, before in lately.iter_rows()
            if at < quiet_us
        }
        window = Window(rules_of(self.allowed_lateness)).restore_candles(read)
        window = window.restore_identities(self._ticks(self.recall_from, self.then.offset))
        self._restarted(window, dormant)

    def _restarted(self, window: Window, dormant: dict[tuple[str, str], int]) -> None:
        then = self.then
        self.clock = self.committed_clock
        self.now = self.then = State(
            window, then.offset, then.late, then.duplicates, then.accepted, dormant
        )

    def _wake(self, here: set[tuple[str, str]]) -> None:
        waking = {name: at for name, at in self.now.dormant.items() if name in here}
        if not waking:
            return
        names = pl.DataFrame(list(waking), schema=["source", "symbol"], orient="row")
        found = self._newest().join(names, on=["source", "symbol"], how="semi")
        ticks = self._ticks(0, max(waking.values()))
        window = self.now.window.restore_candles(found)
        window = window.restore_identities(ticks.join(names, on=["source", "symbol"], how="semi"))
        now = self.now
        asleep = {name: at for name, at in now.dormant.items() if name not in waking}
        self.now = State(window, now.offset, now.late, now.duplicates, now.accepted, asleep)

    def do(self, step: Step) -> None:
        action, amount = step
        match action:
            case "take":
                self.take(int(amount))
            case "wait":
                self.clock += timedelta(seconds=amount)
            case "publish":
                self.publish()
            case "abort":
                self.abort()
            case "restart":
                self.restart()
            case "return":
                self.return_()

    def run(self, script: list[Step]) -> None:
        for step in script:
            self.do(step)
        self.take(len(self.log))
        self.publish()


def _check_step(before: Candle | None, after: Candle) -> None:
    """One record of a candle after the other: what isFinal and revision may do."""
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
        datetime(2024, 1, 1),  # a Monday, a month and a year begin
        datetime(2024, 3, 1),  # the day before was a leap day
        datetime(2025, 3, 20, 12),  # every length of hours begins
        datetime(2025, 3, 24),  # a Monday
        datetime(2025, 3, 20, 14, 31),  # none but the minute begins
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
    """Ticks of few series around one boundary, with growing Kafka timestamps."""
    anchor = draw(ANCHORS)
    log: Log = []
    clock = anchor
    one = st.tuples(
        NAMES, st.integers(-3, 3), MOMENTS, st.integers(0, 2), st.sampled_from([1.5, 2.5, 3.5])
    )
    drawn = draw(st.lists(one, min_size=4, max_size=24))
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
def scripts(draw: st.DrawFn, *more: Action) -> list[Step]:
    """Batches of all sizes, and after each: nothing, time going by, a publish point, or more."""
    fault = [[(action, 0.0)] for action in more]
    then = st.sampled_from([[PUBLISH], *([PUBLISH, *one] for one in fault), *fault])
    chunk = st.tuples(st.integers(1, 5), st.just([]) | WAITS, st.just([]) | then)
    script: list[Step] = []
    for count, wait, after in draw(st.lists(chunk, min_size=2, max_size=12)):
        script += [("take", count), *wait, *after]
    return script


#: Some short enough for late ticks, and some in which dormant series can still be corrected.
SPANS = st.sampled_from(
    [
        WATERMARK_DELAY,
        timedelta(minutes=1),
        timedelta(minutes=1, microseconds=1),
        timedelta(minutes=2),
        timedelta(minutes=3),
        timedelta(minutes=3),
    ]
)
LONG = timedelta(days=366)


@effort()
@given(logs(), scripts("abort"))
def test_batches_publish_points_and_aborts_change_nothing(log: Log, script: list[Step]) -> None:
    Engine(log, LONG).run(script)


@effort()
@given(logs(), scripts("abort"), SPANS)
def test_with_late_ticks(log: Log, script: list[Step], allowed_lateness: timedelta) -> None:
    Engine(log, allowed_lateness).run(script)


@effort(1.5)
@given(logs(), scripts("abort", "restart"), SPANS | st.just(LONG))
def test_restarts_change_nothing(log: Log, script: list[Step], allowed_lateness: timedelta) -> None:
    Engine(log, allowed_lateness).run(script)


@effort(2.5)
@given(logs(), scripts("abort", "return"), SPANS | st.just(LONG))
def test_restarts_from_what_the_mark_says_change_nothing(
    log: Log, script: list[Step], allowed_lateness: timedelta
) -> None:
    Engine(log, allowed_lateness).run(script)


@effort()
@given(logs(), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_candles(log: Log, random: Random) -> None:
    """Beyond lateness nothing depends on the order, but of copies the first one counts."""
    firsts = [
        tick
        for tick, fate in zip([t for t, _ in log], oracle.fates([t for t, _ in log]), strict=True)
        if fate == "accepted"
    ]
    shuffled = list(firsts)
    random.shuffle(shuffled)
    published = []
    for order in (firsts, shuffled):
        engine = Engine([(t, datetime(2030, 1, 1)) for t in order], LONG)
        engine.run([("take", 3), PUBLISH, ("take", 5)])
        published.append(without_finality(engine.published))
    assert published[0] == published[1]


@effort()
@given(logs(), scripts(), SPANS | st.just(LONG))
def test_finality_and_revisions(log: Log, script: list[Step], allowed_lateness: timedelta) -> None:
    """Record by record, with isFinal and revision, what the oracle publishes."""
    engine = Engine(log, allowed_lateness)
    publisher = Publisher(
        allowed_lateness=allowed_lateness,
        watermark_delay=WATERMARK_DELAY,
        idle_timeout=IDLE_TIMEOUT,
    )
    everything: list[Step] = [*script, ("take", len(log)), PUBLISH]
    # The window learns of the clock by timestamps and when it publishes.
    clock = datetime.min
    for action, amount in everything:
        if action == "publish":
            clock = max(clock, engine.clock)
            assert engine.publish() == publisher.publish(engine.clock)
            continue
        taken = engine.now.offset
        engine.do((action, amount))
        for one, at in log[taken : engine.now.offset]:
            clock = max(clock, at)
            publisher.take(one, clock)


# --- what a restart must not forget, case by case ---------------------------------------------
NOON = datetime(2025, 3, 20, 12)


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def run(engine: Engine, *actions: Action) -> None:
    """Take one tick at a time, and publish after each."""
    for action in actions:
        engine.do((action, 1))
        if action == "take":
            engine.publish()


RESTARTS = pytest.mark.parametrize("again", ["restart", "return"])


@RESTARTS
def test_a_restart_at_the_last_moment_of_a_correction(again: Action) -> None:
    """Final candles and identities that a tick in time could still need are there again."""
    log = [
        (tick("S", "A", _at(0), 1), _at(0)),
        (tick("S", "A", _at(659.999999), 2), _at(660)),
        (tick("S", "B", _at(700), 1), _at(700)),
        (tick("S", "A", _at(0), 1), _at(701)),
        (tick("S", "A", _at(59.999999), 3), _at(702)),
    ]
    engine = Engine(log, timedelta(minutes=10))
    run(engine, "take", "take", "take", again, "take", "take")
    assert engine.now.duplicates == 1
    assert engine.published["1min", "S", "A", NOON]["volume"] == 2
    assert engine.published["1min", "S", "A", NOON]["revision"] == 2


@RESTARTS
def test_a_restart_knows_the_largest_datetime(again: Action) -> None:
    """That of the last tick, not of the last minute's first."""
    log = [(tick("S", "A", _at(s), 1), _at(150)) for s in (130, 150, 59)]
    engine = Engine(log, timedelta(seconds=90))
    run(engine, "take", "take", again, "take")
    assert engine.now.late == {2}


@RESTARTS
def test_a_dormant_series_is_closed_and_wakes(again: Action) -> None:
    """The clock closes its open candles after a restart, and its next tick adds to them."""
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
    run(engine, "take", "take", "take", again, "take")
    midnight = NOON - timedelta(hours=12)
    assert engine.published["1day", "S", "A", midnight]["volume"] == 3
    run(engine, "take", again, "take")
    assert engine.published["1day", "S", "A", midnight]["isFinal"]


def test_a_restart_does_not_put_off_the_end_of_a_quiet_series() -> None:
    """Its time goes by since its newest tick, not since the newest closing of one of its candles.

    The last tick is 30 s old by the clock when its minute is over and published. After a restart
    its five minutes must still be over after five minutes.
    """
    engine = Engine([(tick("S", "A", _at(30), 1), _at(30))], timedelta(minutes=10))
    engine.take(1)
    engine.publish()
    engine.clock = _at(60)
    engine.publish()
    assert engine.published["1min", "S", "A", NOON]["isFinal"]
    engine.restart()
    engine.clock = _at(300)
    engine.publish()
    assert engine.published["5min", "S", "A", NOON]["isFinal"]


def test_a_kafka_timestamp_that_goes_back_makes_no_series_quiet() -> None:
    """The partition's clock is the largest timestamp read, in whichever batch that was."""
    log = [
        (tick("S", "A", _at(100), 1), _at(100)),
        (tick("S", "B", _at(30), 1), _at(50)),
    ]
    finals = []
    for size in (2, 1):
        engine = Engine(log, timedelta(minutes=10))
        engine.run([("take", size)])
        finals.append(engine.published["1min", "S", "B", NOON]["isFinal"])
    assert finals == [False, False]


def test_a_dormant_series_whose_month_the_clock_closes_keeps_its_candles() -> None:
    """The month's closing is no sign of life: what the series may need is still far back.

    A tick at 23:40 on the last day; restarts while the series is dormant and just after the clock
    has closed its month; then a late tick of the same minute, and a copy.
    """
    end = datetime(2025, 4, 1)
    first = end - timedelta(minutes=20)
    once, late = tick("S", "A", first, 1), tick("S", "A", first + SECOND, 2)
    seconds = (-18 * 60, -5 * 60, 1, 15 * 60 + 1)
    others = [end + timedelta(seconds=s) for s in seconds]
    log = [(once, first), *((tick("S", "B", at, 1), at) for at in others)]
    log += [(late, others[-1]), (once, others[-1])]
    engine = Engine(log, timedelta(minutes=10))
    take: list[Action] = ["take", "publish"]
    again: list[Action] = ["take", "publish", "return"]
    actions = [*take, *take, *again, *again, *again, *take, *take]
    for action in actions:
        engine.do((action, 1))
    assert engine.published["1min", "S", "A", first]["volume"] == 2


def test_a_candle_withheld_by_a_rebuild_is_never_published() -> None:
    begin = replace(rules_of(timedelta(minutes=10)), begin_us=us(NOON))
    log = [(tick("S", "A", _at(s), n), _at(s)) for n, s in enumerate((1, 61, 4000))]
    window, applied = Window(begin).apply(tick_frame([(n, *row) for n, row in enumerate(log)]))
    assert applied.accepted == 3
    _, out = window.publish(us(_at(4000)))
    assert {key[0] for key in told(out)} == {
        "1min",
        "5min",
        "10min",
        "15min",
        "30min",
        "1hour",
        "3hour",
        "4hour",
    }


def test_ticks_of_candles_that_are_lost_are_too_late() -> None:
    """Before the floor of its own series, and of no other; the floor itself is in time."""
    log = [(tick(source, "A", _at(0), 1), _at(0)) for source in "ST"]
    log += [
        (tick(source, "A", _at(second), 2), _at(1))
        for source in "ST"
        for second in (-0.000001, 0.000001)
    ]
    rows = [(offset, *row) for offset, row in enumerate(log)]
    window, _ = Window(rules_of(timedelta(minutes=10))).apply(tick_frame(rows[:2]))
    window = window.refuse_before("S", "A", us(_at(0))).refuse_before("S", "A", us(_at(-60)))
    for batches in ([rows[2:]], [[row] for row in rows[2:]]):
        late, now = [], window
        for batch in batches:
            now, applied = now.apply(tick_frame(batch))
            late += applied.late["offset"].to_list()
        assert late == [2]
