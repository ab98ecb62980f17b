"""Made-up ticks, by a seed: the same seed and start give the same bytes.

Pure: the clock and the random numbers are arguments. Ticks stand on a **schedule**, slot by
slot, and the slot's instant is the tick's dateTime and, in microseconds, its number: so numbers
grow with time, over restarts too. Slots are even microseconds; ticks that are made late take
odd ones, so that no two ticks share an identity. Some ticks are due later than their slot
(out of order), or twice (duplicates); what is due is sent in that order.

The schedule begins now and keeps up with the wall clock, or begins at a given start and runs at
a given speed (source.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import polars as pl

from homma.errors import SettingError
from homma.feed.instruments import Instrument
from homma.feed.invalid import WAYS
from homma.feed.quotes import Walks
from homma.feed.source import MOST_BEHIND_US, Pacer, Records
from homma.topics.codec import ticks_to

#: Slots are two microseconds apart at least.
MOST_PER_S: Final = 500_000
_BLOCK: Final = 16_384
_WAYS: Final = tuple(WAYS.values())
# What a tick's flaw is; from _INVALID on, the way in which it is broken.
_ON_TIME, _LATE, _DISORDERED, _TWICE, _INVALID = range(5)


@dataclass(frozen=True, slots=True)
class Flaws:
    """Which share of the ticks (0 to 1) is how; each tick has one flaw at most.

    late: dated `late_by_us` before their time; out_of_order: sent up to `disorder_us` after it;
    duplicates: sent twice, within `disorder_us`; broken: not valid, in one of many ways.
    """

    late: float = 0.0
    out_of_order: float = 0.0
    duplicates: float = 0.0
    invalid: float = 0.0
    late_by_us: int = 900_000_000
    disorder_us: int = 1_500_000

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        shares = {
            "late": self.late,
            "out_of_order": self.out_of_order,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise SettingError(f"{name} is {share}", "give a share of the ticks, from 0 to 1")
        if sum(shares.values()) > 1 + 1e-9:
            raise SettingError(
                f"{', '.join(shares)} add up to {sum(shares.values()):g}, more than all ticks",
                "lower some of them: a tick has one flaw at most",
            )

    def any(self) -> bool:
        """Whether there is anything to spoil."""
        return self.late + self.out_of_order + self.duplicates + self.invalid > 0


class Synthetic:
    """An endless source of made-up ticks.

    `rate_per_s` is that of the schedule, 0 for as many as there can be. Without `pace` the
    schedule is the wall clock's: where sending cannot keep up, the ticks to come are dated
    anew rather than sent long after their dates.
    """

    def __init__(
        self,
        sources: Sequence[str],
        instruments: Sequence[Instrument],
        rate_per_s: float,
        start_us: int,
        rng: Random,
        flaws: Flaws | None = None,
        pace: Pacer | None = None,
    ) -> None:
        if not 0 <= rate_per_s <= MOST_PER_S:
            raise SettingError(
                f"rate is {rate_per_s:g} ticks/s", f"give 0 to {MOST_PER_S}; 0: as many as can be"
            )
        self._rate_per_s = rate_per_s or float(MOST_PER_S)
        self._flaws = flaws or Flaws()
        self._pace = pace
        apart_s = len(sources) * len(instruments) / self._rate_per_s
        self._walks = Walks(sources, instruments, apart_s, rng)
        # All slots before `_made_us` have been made; `_postponed_us` is how far slots were moved.
        self._start_us = self._made_us = start_us // 2 * 2
        self._made = 0
        self._pending = pl.DataFrame()
        self._make()

    @property
    def total(self) -> int | None:
        """There is no end."""
        return None

    def take(self, now_us: int, most: int) -> Records | None:
        """The ticks due by now, `most` at most."""
        due_us = self._due_us(now_us)
        while self._made_us <= due_us and self._ready(due_us) < most:
            self._make()
        ready = min(self._ready(due_us), most)
        taken, self._pending = self._pending.head(ready), self._pending.slice(ready)
        return self._records(taken)

    def next_us(self) -> int:
        """When the next tick is due, on the schedule."""
        return int(self._pending["due"][0]) if self._pending.height else self._made_us

    def _due_us(self, now_us: int) -> int:
        if self._pace is not None:
            return self._pace.due_us(now_us, self.next_us())
        behind_us = now_us - self.next_us()
        if behind_us > MOST_BEHIND_US:
            self._postpone((behind_us - MOST_BEHIND_US) // 2 * 2)
        return now_us

    def _ready(self, due_us: int) -> int:
        # What is due after the last slot made may have to wait for a tick still to be made.
        last_us = min(due_us, self._made_us - 1)
        return int(self._pending["due"].search_sorted(last_us, side="right"))

    def _postpone(self, by_us: int) -> None:
        """Move the slots from the next one on; ticks held back keep dates and numbers."""
        moved = pl.when(pl.col("slot") >= self.next_us()).then(by_us).otherwise(0)
        self._pending = self._pending.with_columns(
            *(pl.col(instant) + moved for instant in ("slot", "event", "due", "received"))
        ).sort("due", "slot", maintain_order=True)
        self._start_us += by_us
        self._made_us += by_us

    def _make(self) -> None:
        block = self._block()
        self._made += _BLOCK
        self._made_us = self._slot_us(self._made)
        if self._pending.height:
            block = pl.concat([self._pending, block])
        self._pending = (
            block.sort("due", "slot", maintain_order=True) if self._flaws.any() else block
        )

    def _slot_us(self, place: int) -> int:
        return self._start_us + 2 * int(place * (MOST_PER_S / self._rate_per_s))

    def _block(self) -> pl.DataFrame:
        """The next ticks of the schedule, in points, with their instants and their flaws."""
        place = pl.int_range(self._made, self._made + _BLOCK, eager=True)
        slot = self._start_us + 2 * (place * (MOST_PER_S / self._rate_per_s)).cast(pl.Int64)
        quotes = self._walks.move(_BLOCK).with_columns(
            slot=slot,
            event=slot,
            due=slot,
            received=slot + 1_000 + (self._walks.uniform(_BLOCK) * 19_000).cast(pl.Int64),
            flaw=pl.lit(_ON_TIME, pl.UInt8),
        )
        return self._flawed(quotes) if self._flaws.any() else quotes

    def _flawed(self, quotes: pl.DataFrame) -> pl.DataFrame:
        flaws, drawn, least = self._flaws, self._walks.uniform(_BLOCK), 0.0
        flaw = pl.lit(_ON_TIME, pl.UInt8)
        for kind, share in (
            (_LATE, flaws.late),
            (_DISORDERED, flaws.out_of_order),
            (_TWICE, flaws.duplicates),
            (_INVALID, flaws.invalid),
        ):
            if share:
                within = (pl.lit(drawn) >= least) & (pl.lit(drawn) < least + share)
                flaw = pl.when(within).then(pl.lit(kind, pl.UInt8)).otherwise(flaw)
                least += share
        way = _INVALID + (self._walks.uniform(_BLOCK) * len(_WAYS)).cast(pl.UInt8)
        flaw = pl.when(flaw == _INVALID).then(pl.lit(way)).otherwise(flaw)
        # From 1: a tick held back is due after those of its own slot.
        delay = 1 + (self._walks.uniform(_BLOCK) * flaws.disorder_us).cast(pl.Int64)
        marked = quotes.with_columns(flaw=flaw, delay=delay)
        late, held = pl.col("flaw") == _LATE, pl.col("flaw") == _DISORDERED
        back_us = flaws.late_by_us // 2 * 2 + 1
        first = marked.with_columns(
            event=pl.col("event") - pl.when(late).then(back_us).otherwise(0),
            due=pl.col("due") + pl.when(held).then(pl.col("delay")).otherwise(0),
            received=pl.col("received") + pl.when(held).then(pl.col("delay")).otherwise(0),
        )
        again = marked.filter(pl.col("flaw") == _TWICE).with_columns(
            due=pl.col("due") + pl.col("delay")
        )
        return pl.concat([first, again]).drop("delay")

    def _records(self, taken: pl.DataFrame) -> Records:
        keys, values = ticks_to(
            self._walks.prices(taken).with_columns(
                askMarkup=pl.lit(0),
                bidMarkup=pl.lit(0),
                isTradable=pl.lit(value=True),
                number=taken["event"],
                dateTime=_text(taken["event"]),
                receiveDateTime=_text(taken["received"]),
            )
        )
        broken = taken["flaw"] >= _INVALID
        for i, way in zip(broken.arg_true(), taken["flaw"].filter(broken) - _INVALID, strict=True):
            values[i] = _WAYS[way](values[i])
        return Records(keys, values)


def _text(us: pl.Series) -> pl.Series:
    return us.cast(pl.Datetime("us")).dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")
