"""Candles of recorded ticks, all duplicates recognised: what the live ones are held to.

Ticks come in **slices** of event time, one after the other, each whole: a duplicate has its
original's dateTime, so it stands in the same slice, whenever it came. A frame of ticks has these
columns:

    source, symbol     str
    event_us, number   i64   its order key
    price              f64
    partition, offset  i64   where its record stands; partition FILED where it has none

Of copies the one with the smallest offset counts; a tick that came from a file has no offset, and
counts after those that have one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homma.core import candle
from homma.core.candle import CANDLE
from homma.core.identity import IDENTITY
from homma.core.interval import DAY_US, INTERVALS
from homma.core.series import NAMES, SERIES, names, register

#: The partition of a tick that came from a file.
FILED: Final = -1
TICKS: Final = pl.Schema(
    {
        "source": pl.String,
        "symbol": pl.String,
        "event_us": pl.Int64,
        "number": pl.Int64,
        "price": pl.Float64,
        "partition": pl.Int64,
        "offset": pl.Int64,
    }
)
#: Recomputed candles: the series by name.
EXPECTED: Final = pl.Schema(
    [("source", pl.String()), ("symbol", pl.String()), *list(CANDLE.items())[1:]]
)
EXPECTED_KEY: Final = (*NAMES, "interval", "start_us")
#: Later than all instants that a tick can have, and a start of every interval but the week.
END_OF_TIME_US: Final = 253_402_300_800_000_000
# Odd and large: two different places hardly come to the same number.
_MIX: Final = 0x1E37_79B9_7F4A_7C15


@dataclass(frozen=True, slots=True)
class Slice:
    """Event time [start_us, end_us) and all ticks in it."""

    start_us: int
    end_us: int
    ticks: pl.DataFrame


@dataclass(frozen=True, slots=True)
class EventSpan:
    """Candles that start in [start_us, end_us); by default all."""

    start_us: int = 0
    end_us: int = END_OF_TIME_US

    def ticks_to_us(self) -> int:
        """The end of the last of these candles: ticks before it belong to them."""
        if self.end_us >= END_OF_TIME_US:
            return END_OF_TIME_US
        last = pl.select(at=pl.lit(self.end_us - 1, pl.Int64))
        ends = [i.next(i.floor(pl.col("at"))).alias(i.name) for i in INTERVALS]
        return int(max(last.select(ends).row(0)))

    def of(self, interval: int, before_us: int, end_us: int) -> "EventSpan":
        """Which starts of an interval have their ends in (before_us, end_us]."""
        at = pl.DataFrame({"at": [before_us, end_us]}, schema={"at": pl.Int64})
        low, high = at.select(INTERVALS[interval].floor(pl.col("at"))).to_series()
        high = END_OF_TIME_US if end_us >= END_OF_TIME_US else high
        return EventSpan(max(low, self.start_us), min(high, self.end_us))


def counted(ticks: pl.DataFrame) -> pl.DataFrame:
    """The ticks (columns as IDENTITY has them, partition, offset) that count: of copies one."""
    again = _maybe_copies(ticks)
    if not again.any():
        return ticks
    first = (
        ticks.filter(again)
        .sort(pl.col("partition") == FILED, "offset")
        .unique(IDENTITY, keep="first", maintain_order=True)
    )
    return pl.concat([ticks.filter(~again), first])


def _maybe_copies(ticks: pl.DataFrame) -> pl.Series:
    """Whether a tick may have copies: of those that have none hardly one is taken for such."""
    # One number of a tick's order key is looked at, which is much quicker than its whole identity;
    # that it overflows does no harm.
    mixed = ticks.select(pl.col("event_us") * _MIX + pl.col("number")).to_series()
    ordered = mixed.sort()
    return mixed.is_in(ordered.filter(ordered.diff() == 0).unique().implode())


@dataclass(slots=True)
class Recomputing:
    """Adds slices up to candles, which come out when their interval is over."""

    span: EventSpan = field(default_factory=EventSpan)
    _series: pl.DataFrame = field(default_factory=SERIES.to_frame)
    _open: pl.DataFrame = field(default_factory=CANDLE.to_frame)

    def add(self, piece: Slice) -> pl.DataFrame:
        """The candles (MADE) that end by the slice's end, and have not come out before."""
        # Put together from many pieces, they are gone through several times.
        self._series, coded = register(self._series, piece.ticks.rechunk())
        placed = coded.with_columns(
            candle.order_key(pl.col("event_us"), pl.col("number")).alias("order_key")
        )
        made = candle.roll_up(candle.minutes(counted(placed)))
        wanted = made.filter(
            (pl.col("start_us") >= self.span.start_us) & (pl.col("start_us") < self.span.end_us)
        )
        both = candle.merge(pl.concat([self._open, wanted])) if self._open.height else wanted
        over = pl.col("end_us") <= piece.end_us
        self._open = both.filter(~over)
        return names(self._series, both.filter(over)).select(EXPECTED.names())


def extended(base: pl.DataFrame, keys: pl.DataFrame, ticks: pl.DataFrame) -> pl.DataFrame:
    """The candles (MADE) of `keys` with more ticks (TICKS) than those that are in `base`.

    Keys have MADE_KEY and `before`: of the ticks, of which none is in `base` and none a copy of
    another, those with smaller offsets belong to that candle.
    """
    pieces = [base.join(keys, on=EXPECTED_KEY, how="semi").select(EXPECTED.names())]
    order_key = candle.order_key(pl.col("event_us"), pl.col("number"))
    for code, interval in enumerate(INTERVALS):
        start = interval.floor(pl.col("event_us"))
        its = ticks.with_columns(
            interval=pl.lit(code, pl.UInt8), start_us=start, order_key=order_key
        )
        counting = its.join(keys, on=EXPECTED_KEY, how="inner").filter(
            pl.col("offset") < pl.col("before")
        )
        prices = dict.fromkeys(("open", "high", "low", "close"), "price")
        pieces.append(
            counting.select(
                *EXPECTED_KEY,
                interval.next(pl.col("start_us")).alias("end_us"),
                *(pl.col(price).alias(name) for name, price in prices.items()),
                volume=pl.lit(1, pl.Int64),
                open_order_key="order_key",
                close_order_key="order_key",
            ).select(EXPECTED.names())
        )
    return pl.concat(pieces).group_by(EXPECTED_KEY).agg(candle.MERGE).select(EXPECTED.names())


def recomputed(slices: Iterable[Slice], span: EventSpan | None = None) -> Iterator[pl.DataFrame]:
    """The candles of slices that follow each other, as they get ready."""
    adding = Recomputing(span or EventSpan())
    for piece in slices:
        yield adding.add(piece)


def cuts(per_day: dict[int, int], most: int, start_us: int, end_us: int) -> list[int]:
    """Where to cut [start_us, end_us) into slices of about `most` ticks, both ends included.

    `per_day` counts ticks by day since the epoch. Days with few stand together, one with too many
    is cut evenly, at whole minutes.
    """
    at, held, found = start_us, 0, [start_us]
    for day, count in sorted(per_day.items()):
        begins = max(start_us, day * DAY_US)
        parts = -(-count // most)
        if held and held + count > most and begins > at:
            found.append(begins)
            at, held = begins, 0
        if parts > 1:
            step = -(-DAY_US // parts // 60_000_000) * 60_000_000
            found += [
                cut for cut in range(day * DAY_US + step, (day + 1) * DAY_US, step) if cut > at
            ]
            at, held = found[-1], count // parts
        else:
            held += count
    return [*(cut for cut in found if cut < end_us), end_us]
