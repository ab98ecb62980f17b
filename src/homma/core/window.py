"""The candles of one partition that can still change: ticks go in, candles to publish come out.

    apply(ticks)      counts valid ticks, sets aside duplicates and those that are too late
    publish(clock)    closes what is over, and gives every candle that has changed since
    adopt(candles)    takes candles back after a restart; remember(ticks) their identities

The rules:

- A series' event clock is the largest dateTime it has shown. A tick is **too late** when the end
  of its minute lies `allowed_lateness` or more behind that clock, whatever any other clock says.
- A candle is **final** once its series' event clock, minus `watermark_delay`, has passed its end;
  or,  when its series has been quiet for `idle_timeout`, once the event clock plus the time gone by
  since has. That time is the partition's clock, an argument.
- A final candle that a late tick corrects stays final, and its revision grows by one.

A Window never changes: every step gives a new one, and whoever holds the old one can go back to
it. That is how an aborted transaction leaves no trace.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from homma.core import candle
from homma.core.candle import CANDLE, KEY
from homma.core.identity import IDENTITY, Identities
from homma.core.interval import COARSEST, INTERVALS, MINUTE_US
from homma.core.series import BEFORE_ALL_US, SERIES, advance, encode, names, register
from homma.core.tick import Price, minute_end_us

#: A candle as it was last published: `published_us` is the partition's clock then. Of a month it
#: is the clock at its series' newest tick, which a restart has to know: when a series was quiet is
#: not to be told from when the clock has closed one of its candles.
HELD: Final = pl.Schema(
    [
        *CANDLE.items(),
        ("is_final", pl.Boolean()),
        ("revision", pl.Int32()),
        ("published_us", pl.Int64()),
    ]
)
_MERGE_HELD: Final = (
    *candle.MERGE,
    pl.col("is_final").any(),
    pl.col("revision").max(),
    pl.col("published_us").max(),
    pl.col("changed").any(),
)


@dataclass(frozen=True, slots=True)
class WindowRules:
    """What decides about candles. Durations in microseconds."""

    price: Price = "mid"
    watermark_delay_us: int = 2_000_000
    allowed_lateness_us: int = 600_000_000
    idle_timeout_us: int = 5_000_000
    #: Candles that start before are never published: ticks that made them are gone (a rebuild).
    begin_us: int = BEFORE_ALL_US


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of valid ticks."""

    accepted: int
    duplicates: int
    #: The ticks that were too late, as they came.
    late: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Window:
    """One partition's candles and clocks. Immutable."""

    rules: WindowRules
    series: pl.DataFrame = field(default_factory=SERIES.to_frame)
    held: pl.DataFrame = field(default_factory=HELD.to_frame)
    #: 1-minute candles of ticks counted since the last publish, one frame a batch.
    pending: tuple[pl.DataFrame, ...] = ()
    identities: Identities = field(default_factory=Identities)
    #: The partition's clock as far as it has been told. It never goes back; timestamps may.
    clock_us: int = 0
    #: By interval: no candle to be taken back at a restart was published before. As of the last
    #: publish.
    candles_from_us: tuple[int, ...] = (0,) * len(INTERVALS)

    def apply(self, ticks: pl.DataFrame) -> tuple["Window", Applied]:
        """Count valid ticks (columns of the tick, event_us, timestamp_us, offset), by offset."""
        if ticks.is_empty():
            return self, Applied(0, 0, ticks)
        series, named = register(self.series, ticks)
        coded = named.with_columns(
            candle.order_key(pl.col("event_us"), pl.col("number")).alias("order_key"),
            pl.col(self.rules.price).alias("price"),
            seen_us=pl.max_horizontal(pl.col("timestamp_us").cum_max(), self.clock_us),
        )
        spans = coded.group_by("series").agg(
            pl.col("event_us").min().alias("oldest_us"),
            pl.col("event_us").max().alias("clock_us"),
            pl.col("seen_us").max(),
        )
        moved = advance(series, spans)
        # What holds for the oldest tick of each series holds for all, and nearly always suffices.
        some_late, some_older = self._doubts(series, moved, spans)
        late = self._late(series, coded) if some_late else None
        in_time = coded if late is None else coded.filter(~late)
        fresh = self._fresh(series, in_time, some_older)
        alive = fresh if late is None else self._alive(moved, fresh)
        window = replace(
            self,
            series=moved,
            pending=(*self.pending, candle.minutes(fresh)) if fresh.height else self.pending,
            identities=self.identities.add(alive),
            clock_us=max(self.clock_us, int(ticks["timestamp_us"].max())),  # type: ignore[arg-type]
        )
        refused = ticks.clear() if late is None else ticks.filter(late)
        return window, Applied(fresh.height, in_time.height - fresh.height, refused)

    def _doubts(
        self, series: pl.DataFrame, moved: pl.DataFrame, spans: pl.DataFrame
    ) -> tuple[bool, bool]:
        """Whether a tick may be too late, and whether one is not newer than all before it.

        Of each series in `spans`, the oldest tick against the clock as it stands after all.
        """
        codes = spans["series"]
        oldest = pl.col("oldest_us")
        due = minute_end_us(oldest) + self.rules.allowed_lateness_us
        floor, before = series["floor_us"].gather(codes), series["clock_us"].gather(codes)
        late = (due <= moved["clock_us"].gather(codes)) | (oldest < floor)
        doubts = spans.select(late.any().alias("late"), (oldest <= before).any().alias("older"))
        some_late, some_older = doubts.row(0)
        return bool(some_late), bool(some_older)

    def _late(self, series: pl.DataFrame, coded: pl.DataFrame) -> pl.Series:
        """Which ticks are too late, each by the clock as it stood when it came."""
        clock = series["clock_us"].gather(coded["series"])
        floor = series["floor_us"].gather(coded["series"])
        due = minute_end_us(pl.col("event_us")) + self.rules.allowed_lateness_us
        running = pl.max_horizontal(clock, pl.col("event_us").cum_max().over("series"))
        return coded.select(((due <= running) | (pl.col("event_us") < floor)).alias("late"))["late"]

    def _fresh(self, series: pl.DataFrame, ticks: pl.DataFrame, some_older: bool) -> pl.DataFrame:
        """The ticks not counted before; of copies the first."""
        first = ticks.unique(("series", "order_key"), keep="first", maintain_order=True)
        if not some_older:
            return first
        # What is newer than all that the series has shown needs no looking up.
        older = first.filter(pl.col("event_us") <= series["clock_us"].gather(first["series"]))
        known = self.identities.known(older)
        if known.is_empty():
            return first
        return first.join(known, on=IDENTITY, how="anti", maintain_order="left")

    def _alive(self, series: pl.DataFrame, ticks: pl.DataFrame) -> pl.DataFrame:
        """The ticks of which a copy would still be in time."""
        alive_us = self._alive_us(series).gather(ticks["series"])
        return ticks.filter(pl.col("event_us") >= alive_us)

    def _alive_us(self, series: pl.DataFrame) -> pl.Series:
        """By series: the start of the oldest minute whose ticks are still in time."""
        behind = pl.col("clock_us") - self.rules.allowed_lateness_us
        return series.select(behind - behind % MINUTE_US)["clock_us"]

    def publish(self, clock_us: int) -> tuple["Window", pl.DataFrame]:
        """Every candle that changed since the last time (columns source, symbol and HELD's).

        `clock_us` is the partition's clock. Candles that can no longer change are let go.
        """
        merged = self._merged()
        codes = merged["series"]
        final_to = self._final_to(clock_us).gather(codes)
        is_final = pl.col("is_final") | (pl.col("end_us") <= final_to)
        changed = pl.col("changed") | (is_final & ~pl.col("is_final"))
        seen = self.series["seen_us"].gather(codes)
        counted = merged.with_columns(
            is_final.alias("is_final"),
            changed.alias("changed"),
            pl.col("revision") + (changed & is_final).cast(pl.Int32),
            pl.when(pl.col("interval") == COARSEST)
            .then(seen)
            .when(changed)
            .then(clock_us)
            .otherwise("published_us")
            .alias("published_us"),
        )
        shown = pl.col("changed") & (pl.col("start_us") >= self.rules.begin_us)
        out = names(self.series, counted.filter(shown).select(HELD.names()))
        clock = self.series["clock_us"].gather(codes)
        correctable = pl.col("end_us") > clock - self.rules.allowed_lateness_us
        held = counted.filter(correctable | ~pl.col("is_final")).select(HELD.names())
        latest_us = max(self.clock_us, clock_us)
        window = replace(self, held=held, pending=(), clock_us=latest_us)
        active = window.active(clock_us)
        return (
            replace(
                window,
                identities=window.identities.forget(window._alive_us(window.series), active),
                candles_from_us=window._candles_from_us(clock_us, active),
            ),
            out,
        )

    def _merged(self) -> pl.DataFrame:
        """Held candles and pending ones as one, with the column `changed`."""
        held = self.held.with_columns(changed=pl.lit(value=False))
        if not self.pending:
            return held
        minutes = self.pending[0] if len(self.pending) == 1 else pl.concat(self.pending)
        news = candle.roll_up(minutes).with_columns(
            is_final=pl.lit(value=False),
            revision=pl.lit(0, pl.Int32),
            published_us=pl.lit(BEFORE_ALL_US),
            changed=pl.lit(value=True),
        )
        touched = held.join(news, on=KEY, how="semi")
        if touched.is_empty():
            return pl.concat([held, news])
        untouched = held.join(news, on=KEY, how="anti")
        both = pl.concat([touched, news]).group_by(KEY).agg(_MERGE_HELD).select(held.columns)
        return pl.concat([untouched, both])

    def _final_to(self, clock_us: int) -> pl.Series:
        """By series: candles that end by then are final."""
        gone_by = clock_us - pl.col("seen_us")
        by_event = pl.col("clock_us") - self.rules.watermark_delay_us
        by_clock = pl.when(gone_by >= self.rules.idle_timeout_us).then(pl.col("clock_us") + gone_by)
        return self.series.select(pl.max_horizontal(by_event, by_clock).alias("to"))["to"]

    def active(self, clock_us: int) -> pl.Series:
        """By series: whether it has shown a tick lately, so that a restart takes it back at once.

        Reads what a restart can read too: the series' month.
        """
        months = self.held.filter(pl.col("interval") == COARSEST)
        latest = months.group_by("series").agg(pl.col("published_us").max())
        known = self.series.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("series")).join(
            latest, on="series", how="left", maintain_order="left"
        )
        lately = pl.col("published_us") >= clock_us - self.rules.allowed_lateness_us
        # No month published yet: just arrived, or withheld.
        return known.select(lately.fill_null(value=True))["published_us"]

    def _candles_from_us(self, clock_us: int, active: pl.Series) -> tuple[int, ...]:
        """By interval. A restart takes back what may still change.

        That is the open candles, which the clock may close, and all that a tick of an active
        series may correct.
        """
        if self.rules.begin_us > BEFORE_ALL_US:
            return (0,) * len(INTERVALS)
        wanted = ~pl.col("is_final") | active.gather(self.held["series"])
        oldest = dict(
            self.held.filter(wanted).group_by("interval").agg(pl.col("published_us").min()).rows()
        )
        return tuple(max(0, min(clock_us, oldest.get(n, clock_us))) for n in range(len(INTERVALS)))

    def restore_candles(self, candles: pl.DataFrame) -> "Window":
        """With candles as they were published (columns source, symbol and HELD's but series).

        What the window holds already is newer and stays. Event clocks follow the candles.
        """
        series, named = register(self.series, candles)
        coded = named.select(HELD.names()).cast(HELD)
        month = pl.col("interval") == COARSEST
        clocks = coded.group_by("series").agg(
            clock_us=candle.order_key_us(pl.col("close_order_key").max()),
            # After a rebuild a series may have no month yet.
            seen_us=pl.coalesce(
                pl.col("published_us").filter(month).max(), pl.col("published_us").max()
            ),
        )
        series = advance(series, clocks)
        clock = series["clock_us"].gather(coded["series"])
        alive = coded.filter(
            (pl.col("end_us") > clock - self.rules.allowed_lateness_us) | ~pl.col("is_final")
        ).join(self.held, on=KEY, how="anti")
        return replace(self, series=series, held=pl.concat([self.held, alive]))

    def restore_identities(self, ticks: pl.DataFrame) -> "Window":
        """With the identities of ticks that were counted before (valid ticks, any series)."""
        coded = encode(self.series, ticks).drop_nulls("series")
        first = coded.unique(IDENTITY, keep="first", maintain_order=True)
        alive = self._alive(self.series, first)
        unknown = alive.join(self.identities.known(alive), on=IDENTITY, how="anti")
        return replace(self, identities=self.identities.add(unknown))

    def refuse_before(self, source: str, symbol: str, floor_us: int) -> "Window":
        """With ticks of a series before `floor_us` too late: candles they belong to are gone."""
        its = (pl.col("source") == source) & (pl.col("symbol") == symbol)
        raised = pl.max_horizontal("floor_us", pl.lit(floor_us))
        return replace(
            self,
            series=self.series.with_columns(
                pl.when(its).then(raised).otherwise("floor_us").alias("floor_us")
            ),
        )
