"""Candles of recorded ticks, with every duplicate recognized: the reference for live candles.

Ticks come in **slices** of event time, one after the other. A slice has all ticks of its span: a
duplicate has the dateTime of its original, so both are in the same slice, whenever they arrived.
A tick has these columns:

    source, symbol     str
    event_us, number   i64   the order key
    price              f64
    traded_volume, turnover  decimal  of a trade, else 0
    partition, offset  i64   where its record is; partition FROM_FILE if it has no record

Of the copies of a tick, the one with the smallest offset counts. A tick from a file has no offset,
so it counts only if no record is a copy of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import polars as pl

from homma.core import candle, traded_sums
from homma.core.calendar import Calendar
from homma.core.candle import CANDLE, Candles
from homma.core.decimals import DECIMAL
from homma.core.fields import VALUE_FIELDS
from homma.core.identity import IDENTITY
from homma.core.interval import CODE, DAY_US, MINUTE_US, Interval
from homma.core.merging import of_one_tick
from homma.core.series import NAMES, SERIES, SeriesClocks, decode, register

#: The partition of a tick that came from a file.
FROM_FILE: Final = -1
TICKS: Final = pl.Schema(
    {
        "source": pl.String(),
        "symbol": pl.String(),
        "event_us": pl.Int64(),
        "number": pl.Int64(),
        "price": pl.Float64(),
        "traded_volume": DECIMAL,
        "turnover": DECIMAL,
        "partition": pl.Int64(),
        "offset": pl.Int64(),
    }
)
#: Ticks of the lake or of a topic, duplicates included, with the place of their records.
RecordedTicks: TypeAlias = pl.DataFrame

EXPECTED: Final = pl.Schema(
    [("source", pl.String()), ("symbol", pl.String()), *list(CANDLE.items())[1:]]
)
#: Candles as recorded ticks make them, the series by name.
ExpectedCandles: TypeAlias = pl.DataFrame

EXPECTED_KEY: Final = (*NAMES, "interval", "start_us")
CANDLE_KEYS: Final = pl.Schema({name: EXPECTED[name] for name in EXPECTED_KEY})
#: Keys of candles, of any series and interval.
CandleKeys: TypeAlias = pl.DataFrame

BOUNDED_KEYS: Final = pl.Schema({**CANDLE_KEYS, "before": pl.Int64()})
#: Keys of candles, each with the offset that all ticks of the candle are before.
BoundedKeys: TypeAlias = pl.DataFrame

RECORDED: Final = pl.Schema({**EXPECTED, "is_final": pl.Boolean(), "revision": pl.Int32()})
#: Candles as a topic or a table has them; is_final and revision may be null.
RecordedCandles: TypeAlias = pl.DataFrame

#: Later than every event time, and a start of every interval but the week.
END_OF_TIME_US: Final = 253_402_300_800_000_000
# Odd and large, so different order keys hardly ever give the same number.
_HASH_FACTOR: Final = 0x1E37_79B9_7F4A_7C15


@dataclass(frozen=True, slots=True)
class Slice:
    """Event time [start_us, end_us) and all ticks in it."""

    start_us: int
    end_us: int
    ticks: RecordedTicks


@dataclass(frozen=True, slots=True)
class EventSpan:
    """Candles that start in [start_us, end_us); by default all candles."""

    start_us: int = 0
    end_us: int = END_OF_TIME_US

    def ticks_end_us(self, calendar: Calendar) -> int:
        """The end of the last of these candles: no later tick belongs to them."""
        if self.end_us >= END_OF_TIME_US:
            return END_OF_TIME_US
        last = pl.select(at=pl.lit(self.end_us - 1, pl.Int64))
        ends = [i.next(i.floor(pl.col("at"))).alias(i.name) for i in calendar]
        return int(max(last.select(ends).row(0)))

    def starts_ending_in(self, interval: Interval, before_us: int, end_us: int) -> "EventSpan":
        """The candles of an interval that end in (before_us, end_us]."""
        at = pl.DataFrame({"at": [before_us, end_us]}, schema={"at": pl.Int64})
        low, high = at.select(interval.floor(pl.col("at"))).to_series()
        high = END_OF_TIME_US if end_us >= END_OF_TIME_US else high
        return EventSpan(max(low, self.start_us), min(high, self.end_us))


def first_copies(ticks: pl.DataFrame) -> pl.DataFrame:
    """The ticks (columns of IDENTITY, partition, offset) that count, without their copies."""
    may_repeat = _may_repeat(ticks)
    if not may_repeat.any():
        return ticks
    first = (
        ticks.filter(may_repeat)
        .sort(pl.col("partition") == FROM_FILE, "offset")
        .unique(IDENTITY, keep="first", maintain_order=True)
    )
    return pl.concat([ticks.filter(~may_repeat), first])


def _may_repeat(ticks: pl.DataFrame) -> pl.Series:
    """Whether a tick may have copies; rarely true for a tick that has none."""
    # Comparing one number per tick is much faster than comparing whole identities. It may
    # overflow, which does no harm.
    hashes = ticks.select(pl.col("event_us") * _HASH_FACTOR + pl.col("number")).to_series()
    ordered = hashes.sort()
    return hashes.is_in(ordered.filter(ordered.diff() == 0).unique().implode())


@dataclass(slots=True)
class Recomputation:
    """Adds up slices; a candle comes out when its interval is over."""

    calendar: Calendar
    span: EventSpan = field(default_factory=EventSpan)
    _series: SeriesClocks = field(default_factory=SERIES.to_frame)
    _open: Candles = field(default_factory=CANDLE.to_frame)

    def add(self, piece: Slice) -> ExpectedCandles:
        """The candles that end by the slice's end and have not come out before.

        Raises StateError if a sum of a candle may be too large.
        """
        # Slices are assembled from many chunks, and are read several times here.
        self._series, coded = register(self._series, piece.ticks.rechunk())
        keyed = coded.with_columns(
            candle.order_key(pl.col("event_us"), pl.col("number")).alias("order_key")
        )
        counted = first_copies(keyed)
        traded_sums.require_below_bound(self._open, [counted])
        base = candle.base_candles(counted, self.calendar.base)
        candles = candle.roll_up(base, self.calendar.intervals)
        in_span = candles.filter(
            (pl.col("start_us") >= self.span.start_us) & (pl.col("start_us") < self.span.end_us)
        )
        merged = candle.merge(pl.concat([self._open, in_span])) if self._open.height else in_span
        is_over = pl.col("end_us") <= piece.end_us
        self._open = merged.filter(~is_over)
        return decode(self._series, merged.filter(is_over)).select(EXPECTED.names())


def add_ticks(
    base: ExpectedCandles, keys: BoundedKeys, ticks: RecordedTicks, calendar: Calendar
) -> ExpectedCandles:
    """The candles of `keys` from the candles of `base` and more ticks.

    None of the ticks may be in `base` or be a copy of another. Raises StateError if a sum of a
    candle may be too large.
    """
    traded_sums.require_below_bound(base, [ticks])
    pieces = [base.join(keys, on=EXPECTED_KEY, how="semi").select(EXPECTED.names())]
    order_key = candle.order_key(pl.col("event_us"), pl.col("number"))
    for interval in calendar:
        start = interval.floor(pl.col("event_us"))
        placed = ticks.with_columns(
            interval=pl.lit(interval.code, CODE), start_us=start, order_key=order_key
        )
        counted = placed.join(keys, on=EXPECTED_KEY, how="inner").filter(
            pl.col("offset") < pl.col("before")
        )
        pieces.append(
            counted.select(
                *EXPECTED_KEY,
                interval.next(pl.col("start_us")).alias("end_us"),
                *(of_one_tick(row) for row in VALUE_FIELDS),
                open_order_key="order_key",
                close_order_key="order_key",
            ).select(EXPECTED.names())
        )
    return pl.concat(pieces).group_by(EXPECTED_KEY).agg(candle.MERGE).select(EXPECTED.names())


def recompute(
    slices: Iterable[Slice], calendar: Calendar, span: EventSpan | None = None
) -> Iterator[ExpectedCandles]:
    """The candles of consecutive slices, one frame per slice."""
    recomputation = Recomputation(calendar, span or EventSpan())
    for piece in slices:
        yield recomputation.add(piece)


def slice_bounds(
    ticks_by_day: dict[int, int], max_ticks: int, start_us: int, end_us: int
) -> list[int]:
    """The bounds that cut [start_us, end_us) into slices of about `max_ticks`, both ends included.

    `ticks_by_day` counts ticks by day since the epoch. Days with few ticks share a slice; a day
    with too many is cut evenly, at whole minutes.
    """
    last_us, tick_count, bounds = start_us, 0, [start_us]
    for day, day_count in sorted(ticks_by_day.items()):
        day_start_us = max(start_us, day * DAY_US)
        parts = -(-day_count // max_ticks)
        if tick_count and tick_count + day_count > max_ticks and day_start_us > last_us:
            bounds.append(day_start_us)
            last_us, tick_count = day_start_us, 0
        if parts > 1:
            step_us = -(-DAY_US // parts // MINUTE_US) * MINUTE_US
            day_bounds = range(day * DAY_US + step_us, (day + 1) * DAY_US, step_us)
            bounds += [bound for bound in day_bounds if bound > last_us]
            last_us, tick_count = bounds[-1], day_count // parts
        else:
            tick_count += day_count
    return [*(bound for bound in bounds if bound < end_us), end_us]
