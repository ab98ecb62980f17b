"""The owners of a partition, one after the other, and scripts of what happens to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

import polars as pl
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.finality import FinalityRules
from homma.core.interval import CLOCK
from homma.core.tick import Price
from homma.core.window import Window, WindowRules
from homma.durations import microseconds
from tests.support import oracle
from tests.support.frames import as_records, tick_frame, us, without_finality
from tests.support.oracle import Candle, Key, Publisher
from tests.support.tick_logs import GAPS, IDLE_TIMEOUT, WATERMARK_DELAY, Log, price_of

CANDLE_KEY = ("source", "symbol", "interval", "start_us")
Action = Literal["apply", "wait", "publish", "abort", "restart", "resume"]
#: An action, with the number of ticks to apply or of seconds to wait.
Step = tuple[Action, float]


def rules_of(
    allowed_lateness: timedelta,
    calendar: Calendar = DEFAULT_CALENDAR,
    publish_from_us: Mapping[str, int] | None = None,
    price: Price = "mid",
) -> WindowRules:
    return WindowRules(
        price=price,
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
        self.price = price_of(log)
        self.rules = rules_of(allowed_lateness, calendar, price=self.price)
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
            [tick for tick, _ in self.log[: self.current.offset]], self.allowed_lateness, self.price
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
        changed = as_records(published, self.price)
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
        counted = oracle.counted(ticks, self.allowed_lateness, self.price)
        expected = oracle.candles(counted, self.price, names)
        assert without_finality(self.published) == expected
        # I5: ticks read = dropped as late + duplicates + the tick counts of an interval's candles.
        ticks_counted = sum(
            c["tickCount"] for key, c in self.published.items() if key[0] == names[0]
        )
        not_counted = len(self.current.dropped) + self.current.duplicates
        assert self.current.offset == not_counted + ticks_counted

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
        assert after["isFinal"] != before["isFinal"] or after["tickCount"] > before["tickCount"]


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


def check_finality(
    log: Log,
    script: list[Step],
    allowed_lateness: timedelta,
    calendar: Calendar = DEFAULT_CALENDAR,
) -> None:
    """Every record equals the oracle's, isFinal and revision included."""
    engine = Engine(log, allowed_lateness, calendar)
    publisher = Publisher(
        price=engine.price,
        allowed_lateness=allowed_lateness,
        watermark_delay=WATERMARK_DELAY,
        idle_timeout=IDLE_TIMEOUT,
        intervals=tuple(interval.name for interval in calendar.aggregated),
    )
    clock = oracle.EPOCH
    for action, amount in [*script, ("apply", len(log)), PUBLISH]:
        if action == "publish":
            clock = max(clock, engine.clock)
            assert engine.publish() == publisher.publish(engine.clock)
            continue
        offset = engine.current.offset
        engine.do((action, amount))
        for applied, at in log[offset : engine.current.offset]:
            # The partition clock ran on while the partition had no record, and never goes back.
            clock = max(clock, at)
            publisher.apply(applied, clock)
