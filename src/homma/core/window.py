"""The candles of one partition that can still change: ticks in, candles to publish out.

    apply(ticks)                counts valid ticks; sets aside duplicates, ticks dropped as late and
                                ticks that take a sum too far
    publish(clock)              finalizes candles and returns every candle that has changed
    restore_candles(candles)    takes candles back after a restart
    restore_identities(ticks)   takes the identities of counted ticks back

`core/finality.py` decides which ticks are dropped as late and which candles are final. How long a
series has been idle is measured by the partition clock, an argument of `publish`. A late tick
corrects a final candle: its revision grows by one.

A Window never changes: every step returns a new one. An aborted transaction leaves no trace
because the caller goes back to the Window from before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import polars as pl

from homma.core import candle, traded_sums
from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.candle import CANDLE, KEY, BaseCandles
from homma.core.finality import FinalityRules, is_final
from homma.core.identity import IDENTITY, Identities
from homma.core.interval import CLOCK
from homma.core.series import (
    BEFORE_ALL_US,
    NAMES,
    SERIES,
    SeriesClocks,
    advance,
    decode,
    encode,
    register,
)
from homma.core.tick import Price, ValidTicks, measures

#: A candle as it was last published. `published_us` is the partition clock at that moment; for a
#: month it is the partition clock when its series' newest tick was read. A restart needs the
#: latter: the clock may have finalized candles of the series long after its newest tick.
PUBLISHED: Final = pl.Schema(
    [
        *CANDLE.items(),
        ("is_final", pl.Boolean()),
        ("revision", pl.Int32()),
        ("published_us", pl.Int64()),
    ]
)
#: Candles that can still change, as they were last published.
HeldCandles: TypeAlias = pl.DataFrame

CHANGED: Final = pl.Schema({**PUBLISHED, "source": pl.String(), "symbol": pl.String()})
#: Candles to publish, which have changed since they were last published.
ChangedCandles: TypeAlias = pl.DataFrame

RESTORED: Final = pl.Schema({name: CHANGED[name] for name in (*NAMES, *PUBLISHED.names()[1:])})
#: Candles read back from the topics, the series by name.
RestoredCandles: TypeAlias = pl.DataFrame

_MERGE_PUBLISHED: Final = (
    *candle.MERGE,
    pl.col("is_final").any(),
    pl.col("revision").max(),
    pl.col("published_us").max(),
    pl.col("changed").any(),
)


@dataclass(frozen=True, slots=True)
class WindowRules:
    """The settings that decide about candles."""

    price: Price = "mid"
    calendar: Calendar = DEFAULT_CALENDAR
    finality: FinalityRules = field(default_factory=FinalityRules)
    #: By interval: candles that start earlier are withheld, as some of their ticks are missing
    #: after a rebuild or were counted before the interval was chosen.
    publish_from_us: Mapping[str, int] = field(default_factory=dict)

    def is_withheld(self) -> pl.Expr:
        """Whether a candle (columns interval, start_us) is never published."""
        starts = ((pl.col("interval") == code, us) for code, us in self.publish_from_us.items())
        return pl.any_horizontal(
            pl.lit(value=False), *(is_code & (pl.col("start_us") < us) for is_code, us in starts)
        )


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What `Window.apply` did with a batch of valid ticks."""

    accepted: int
    duplicates: int
    #: The ticks that were dropped as late.
    dropped_late: ValidTicks
    #: The ticks with which a sum of a candle would be too large.
    beyond: ValidTicks


@dataclass(frozen=True, slots=True)
class Window:
    """The state of one partition. Immutable.

    `candles` are those that can still change, as last published; they do not have the ticks
    counted since then.
    """

    rules: WindowRules
    series: SeriesClocks = field(default_factory=SERIES.to_frame)
    candles: HeldCandles = field(default_factory=PUBLISHED.to_frame)
    #: Candles of the base from the ticks counted since the last publish, one frame per batch.
    pending: tuple[BaseCandles, ...] = ()
    identities: Identities = field(default_factory=Identities)
    #: The partition clock, as far as known. It never goes back, although timestamps may.
    clock_us: int = 0
    #: By interval, as of the last publish: no candle that a restart needs was published earlier.
    candles_from_us: Mapping[str, int] = field(default_factory=dict)

    def apply(self, ticks: ValidTicks) -> tuple["Window", ApplyResult]:
        """Count ticks, in the order of their offsets."""
        window, counted, result = self._count(ticks)
        if self.rules.price != "trade" or not self._may_exceed(counted):
            return window, result
        applied, beyond, left = self, [ticks.clear()], ticks
        results: list[ApplyResult] = []
        # Count up to each tick that takes a sum too far, and go on after it.
        while (offset := applied._first_beyond(counted)) is not None:
            applied, _, result = applied._count(left.filter(pl.col("offset") < offset))
            results.append(result)
            beyond.append(left.filter(pl.col("offset") == offset))
            left = left.filter(pl.col("offset") > offset)
            _, counted, _ = applied._count(left)
        applied, _, result = applied._count(left)
        results.append(result)
        return applied, ApplyResult(
            sum(part.accepted for part in results),
            sum(part.duplicates for part in results),
            pl.concat([part.dropped_late for part in results]),
            pl.concat(beyond),
        )

    def _may_exceed(self, counted: pl.DataFrame) -> bool:
        """Whether a sum of a candle may be too large with more ticks."""
        return traded_sums.may_exceed(self.candles, (*self.pending, counted))

    def _first_beyond(self, counted: pl.DataFrame) -> int | None:
        """The offset of the first of these ticks with which a sum of a candle is too large."""
        intervals = self.rules.calendar.aggregated
        candles = [self.candles.select(CANDLE.names())]
        candles += (candle.roll_up(base, intervals) for base in self.pending)
        index = traded_sums.first_beyond(pl.concat(candles), counted, intervals)
        return None if index is None else int(counted["offset"][index])

    def _count(self, ticks: ValidTicks) -> tuple["Window", pl.DataFrame, ApplyResult]:
        """Count ticks, whatever their sums. Also returns the ticks that count."""
        if ticks.is_empty():
            return self, candle.KEYED_TICK.to_frame(), ApplyResult(0, 0, ticks, ticks)
        # Only what is needed below: whole ticks are wide.
        narrow = ticks.select(
            *NAMES,
            "event_us",
            "number",
            "offset",
            candle.order_key(pl.col("event_us"), pl.col("number")).alias("order_key"),
            *measures(self.rules.price),
            last_read_us=pl.max_horizontal(pl.col("timestamp_us").cum_max(), self.clock_us),
        )
        series, coded = register(self.series, narrow)
        keyed = coded.drop(NAMES)
        ranges = keyed.group_by("series").agg(
            pl.col("event_us").min().alias("min_event_us"),
            pl.col("event_us").max().alias("max_event_us"),
            pl.col("last_read_us").max(),
        )
        advanced = advance(series, ranges)
        # A check of each series' oldest tick covers all its ticks, and is nearly always enough.
        may_be_late, may_be_known = self._quick_checks(series, advanced, ranges)
        is_late = self._is_late(series, keyed) if may_be_late else None
        in_time = keyed if is_late is None else keyed.filter(~is_late)
        counted = self._without_duplicates(series, in_time, may_be_known)
        to_remember = counted if is_late is None else self._repeatable(advanced, counted)
        pending = (
            (candle.base_candles(counted, self.rules.calendar.base),) if counted.height else ()
        )
        window = replace(
            self,
            series=advanced,
            pending=(*self.pending, *pending),
            identities=self.identities.add(to_remember),
            clock_us=max(self.clock_us, int(ticks["timestamp_us"].max())),  # type: ignore[arg-type]
        )
        dropped = ticks.clear() if is_late is None else ticks.filter(is_late)
        duplicates = in_time.height - counted.height
        return window, counted, ApplyResult(counted.height, duplicates, dropped, ticks.clear())

    def _quick_checks(
        self, series: SeriesClocks, advanced: SeriesClocks, ranges: pl.DataFrame
    ) -> tuple[bool, bool]:
        """Whether a tick may be dropped as late, and whether one may have been counted before.

        Compares the oldest tick of each series with the clocks before and after the batch.
        """
        codes = ranges["series"]
        oldest = pl.col("min_event_us")
        late_from = self.rules.finality.late_from_us(oldest)
        floor, before = series["floor_us"].gather(codes), series["max_event_us"].gather(codes)
        is_late = (late_from <= advanced["max_event_us"].gather(codes)) | (oldest < floor)
        checks = ranges.select(is_late.any().alias("late"), (oldest <= before).any().alias("known"))
        may_be_late, may_be_known = checks.row(0)
        return bool(may_be_late), bool(may_be_known)

    def _is_late(self, series: SeriesClocks, ticks: pl.DataFrame) -> pl.Series:
        """By tick: whether it is dropped as late, by the largest event time up to that tick."""
        before = series["max_event_us"].gather(ticks["series"])
        floor = series["floor_us"].gather(ticks["series"])
        late_from = self.rules.finality.late_from_us(pl.col("event_us"))
        largest = pl.max_horizontal(before, pl.col("event_us").cum_max().over("series"))
        is_late = (late_from <= largest) | (pl.col("event_us") < floor)
        return ticks.select(is_late.alias("is_late"))["is_late"]

    def _without_duplicates(
        self, series: SeriesClocks, ticks: pl.DataFrame, may_be_known: bool
    ) -> pl.DataFrame:
        """The ticks that were not counted before; of copies in `ticks`, the first."""
        first = ticks.unique(("series", "order_key"), keep="first", maintain_order=True)
        if not may_be_known:
            return first
        # Ticks newer than all earlier ones of their series need no lookup.
        before = series["max_event_us"].gather(first["series"])
        known = self.identities.known(first.filter(pl.col("event_us") <= before))
        if known.is_empty():
            return first
        return first.join(known, on=IDENTITY, how="anti", maintain_order="left")

    def _repeatable(self, series: SeriesClocks, ticks: pl.DataFrame) -> pl.DataFrame:
        """The ticks whose copies would not be dropped as late."""
        in_time_from_us = self._in_time_from_us(series).gather(ticks["series"])
        return ticks.filter(pl.col("event_us") >= in_time_from_us)

    def _in_time_from_us(self, series: SeriesClocks) -> pl.Series:
        """By series: the start of the oldest minute whose ticks are not dropped as late."""
        in_time_from_us = self.rules.finality.in_time_from_us(pl.col("max_event_us"))
        return series.select(in_time_from_us)["max_event_us"]

    def publish(self, clock_us: int) -> tuple["Window", ChangedCandles]:
        """Every candle that changed since the last publish.

        `clock_us` is the partition clock. The new Window no longer has the candles that cannot
        change any more.
        """
        merged = self._merge_pending()
        codes = merged["series"]
        watermark = pl.lit(self._watermarks(clock_us).gather(codes))
        now_final = is_final(pl.col("end_us"), watermark, pl.col("is_final"))
        changed = pl.col("changed") | (now_final & ~pl.col("is_final"))
        last_read = self.series["last_read_us"].gather(codes)
        updated = merged.with_columns(
            now_final.alias("is_final"),
            changed.alias("changed"),
            pl.col("revision") + (changed & now_final).cast(pl.Int32),
            pl.when(pl.col("interval") == CLOCK.code)
            .then(last_read)
            .when(changed)
            .then(clock_us)
            .otherwise("published_us")
            .alias("published_us"),
        )
        to_publish = pl.col("changed") & ~self.rules.is_withheld()
        published = decode(self.series, updated.filter(to_publish).select(PUBLISHED.names()))
        may_change = self._may_change(self.series, codes)
        candles = updated.filter(may_change).select(PUBLISHED.names())
        latest_us = max(self.clock_us, clock_us)
        window = replace(self, candles=candles, pending=(), clock_us=latest_us)
        is_active = window.active_series(clock_us)
        needed_from_us = window._in_time_from_us(window.series)
        return (
            replace(
                window,
                identities=window.identities.forget(needed_from_us, is_active),
                candles_from_us=window._candles_from_us(clock_us, is_active),
            ),
            published,
        )

    def _merge_pending(self) -> pl.DataFrame:
        """The candles with the pending ones added, and a column `changed`."""
        candles = self.candles.with_columns(changed=pl.lit(value=False))
        if not self.pending:
            return candles
        base = self.pending[0] if len(self.pending) == 1 else pl.concat(self.pending)
        added = candle.roll_up(base, self.rules.calendar.aggregated).with_columns(
            is_final=pl.lit(value=False),
            revision=pl.lit(0, pl.Int32),
            published_us=pl.lit(BEFORE_ALL_US),
            changed=pl.lit(value=True),
        )
        touched = candles.join(added, on=KEY, how="semi")
        if touched.is_empty():
            return pl.concat([candles, added])
        untouched = candles.join(added, on=KEY, how="anti")
        both = pl.concat([touched, added]).group_by(KEY).agg(_MERGE_PUBLISHED)
        return pl.concat([untouched, both.select(candles.columns)])

    def _watermarks(self, clock_us: int) -> pl.Series:
        """The watermarks by series."""
        idle_us = clock_us - pl.col("last_read_us")
        watermarks = self.rules.finality.watermark_us(pl.col("max_event_us"), idle_us)
        return self.series.select(watermark=watermarks)["watermark"]

    def _may_change(self, series: SeriesClocks, codes: pl.Series) -> pl.Expr:
        """Whether candles (columns is_final, end_us) of the series with `codes` may change."""
        largest = pl.lit(series["max_event_us"].gather(codes))
        return self.rules.finality.may_change(pl.col("is_final"), pl.col("end_us"), largest)

    def active_series(self, clock_us: int) -> pl.Series:
        """By series: whether a restart restores it at once, because it had a tick recently.

        Decided from what a restart can read too: the series' month.
        """
        months = self.candles.filter(pl.col("interval") == CLOCK.code)
        latest = months.group_by("series").agg(pl.col("published_us").max())
        codes = self.series.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("series"))
        by_series = codes.join(latest, on="series", how="left", maintain_order="left")
        is_recent = pl.col("published_us") >= self.rules.finality.active_from_us(clock_us)
        # A series without a published month is new, or its month is not published after a rebuild.
        return by_series.select(is_recent.fill_null(value=True))["published_us"]

    def _candles_from_us(self, clock_us: int, is_active: pl.Series) -> Mapping[str, int]:
        """By interval: when the oldest candle that a restart needs was published.

        A restart needs the open candles, which the clock may finalize, and all candles that a tick
        of an active series may correct.
        """
        codes = [interval.code for interval in self.rules.calendar.aggregated]
        if CLOCK.code in self.rules.publish_from_us:
            # A series may have no published month, so its clock is in any of its candles.
            return dict.fromkeys(codes, 0)
        needed = ~pl.col("is_final") | is_active.gather(self.candles["series"])
        by_interval = self.candles.filter(needed).group_by("interval")
        oldest = dict(by_interval.agg(pl.col("published_us").min()).rows())
        return {code: max(0, min(clock_us, oldest.get(code, clock_us))) for code in codes}

    def restore_candles(self, candles: RestoredCandles) -> "Window":
        """With published candles.

        Candles that the window already has are newer and stay. The largest event times follow
        from the candles.
        """
        series, encoded = register(self.series, candles)
        published = encoded.select(PUBLISHED.names()).cast(PUBLISHED)
        is_month = pl.col("interval") == CLOCK.code
        clocks = published.group_by("series").agg(
            max_event_us=candle.order_key_us(pl.col("close_order_key").max()),
            # After a rebuild a series may have no month yet.
            last_read_us=pl.coalesce(
                pl.col("published_us").filter(is_month).max(), pl.col("published_us").max()
            ),
        )
        series = advance(series, clocks)
        may_change = self._may_change(series, published["series"])
        restored = published.filter(may_change).join(self.candles, on=KEY, how="anti")
        return replace(self, series=series, candles=pl.concat([self.candles, restored]))

    def restore_identities(self, ticks: ValidTicks) -> "Window":
        """With the identities of valid ticks, of any series, that were counted before."""
        encoded = encode(self.series, ticks).drop_nulls("series")
        first = encoded.unique(IDENTITY, keep="first", maintain_order=True)
        repeatable = self._repeatable(self.series, first)
        known = self.identities.known(repeatable)
        unknown = repeatable.join(known, on=IDENTITY, how="anti")
        return replace(self, identities=self.identities.add(unknown))

    def raise_floor(self, source: str, symbol: str, floor_us: int) -> "Window":
        """With ticks of a series before `floor_us` dropped as late: their candles are lost."""
        is_series = (pl.col("source") == source) & (pl.col("symbol") == symbol)
        raised = pl.max_horizontal("floor_us", pl.lit(floor_us))
        floor = pl.when(is_series).then(raised).otherwise("floor_us").alias("floor_us")
        return replace(self, series=self.series.with_columns(floor))
