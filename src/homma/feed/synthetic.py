"""Synthetic ticks from a seed: the same seed and start give the same bytes.

Pure: the clock and the random numbers are arguments. Each tick has a slot in a **schedule**. The
slot's instant is the tick's dateTime and, in microseconds, its number, so numbers grow with time,
even across restarts. Slots are even microseconds. Late ticks use odd microseconds, so that no two
ticks have the same identity. Out-of-order ticks are due later than their slot, and duplicates are
due twice. Ticks are sent in the order in which they are due.

The schedule starts now and follows the wall clock, or starts at a given time and runs at a given
speed (source.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import polars as pl

from homma.errors import SettingError
from homma.feed.instruments import Instrument
from homma.feed.invalid import CORRUPTIONS
from homma.feed.quotes import Quotes, Walks
from homma.feed.source import MAX_BEHIND_US, Pacer, Records
from homma.feed.trades import TRADE_SHARE
from homma.settings import TickKinds
from homma.topics.codec import encode_ticks

#: Slots are at least two microseconds apart.
MAX_RATE_PER_S: Final = 500_000
_BLOCK: Final = 16_384
_CORRUPTIONS: Final = tuple(CORRUPTIONS.values())
# The flaw of a tick. Values from _INVALID on are the index of the corruption.
_NONE, _LATE, _OUT_OF_ORDER, _DUPLICATE, _INVALID = range(5)


@dataclass(frozen=True, slots=True)
class Flaws:
    """The shares of flawed ticks, 0 to 1. Each tick has at most one flaw.

    late: event time `late_by_us` earlier. out_of_order: sent up to `disorder_us` later.
    duplicates: sent twice within `disorder_us`. invalid: breaks the contract in one of many ways.
    """

    late: float = 0.0
    out_of_order: float = 0.0
    duplicates: float = 0.0
    invalid: float = 0.0
    late_by_us: int = 900_000_000
    disorder_us: int = 1_500_000

    def __post_init__(self) -> None:
        """Reject values that are not shares."""
        shares = {
            "late": self.late,
            "out_of_order": self.out_of_order,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise SettingError(f"{name} is {share}", "use a share of the ticks, from 0 to 1")
        if sum(shares.values()) > 1 + 1e-9:
            raise SettingError(
                f"{', '.join(shares)} add up to {sum(shares.values()):g}, which is more than 1",
                "lower some of them: each tick can have only one of these flaws",
            )

    def any(self) -> bool:
        """Whether any tick is flawed."""
        return self.late + self.out_of_order + self.duplicates + self.invalid > 0


class Synthetic:
    """An endless source of synthetic ticks.

    `rate_per_s` is the rate of the schedule; 0 is the highest possible rate. Without `pace`, the
    schedule follows the wall clock: if sending cannot keep up, the slots of unsent ticks move to
    later instants.
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
        kinds: TickKinds = "quotes",
    ) -> None:
        if not 0 <= rate_per_s <= MAX_RATE_PER_S:
            raise SettingError(
                f"rate is {rate_per_s:g} ticks/s",
                f"use 0 (as fast as possible) to {MAX_RATE_PER_S}",
            )
        self._rate_per_s = rate_per_s or float(MAX_RATE_PER_S)
        self._flaws = flaws or Flaws()
        self._pace = pace
        self._kinds = kinds
        mean_gap_s = len(sources) * len(instruments) / self._rate_per_s
        self._walks = Walks(sources, instruments, mean_gap_s, rng)
        # All slots before `_generated_us` are generated.
        self._start_us = self._generated_us = start_us // 2 * 2
        self._next_slot = 0
        self._pending = pl.DataFrame()
        self._generate()

    @property
    def total(self) -> int | None:
        """None: the source is endless."""
        return None

    def take(self, now_us: int, limit: int) -> Records | None:
        """The ticks due by now, at most `limit`."""
        due_us = self._due_us(now_us)
        while self._generated_us <= due_us and self._ready(due_us) < limit:
            self._generate()
        ready = min(self._ready(due_us), limit)
        ticks, self._pending = self._pending.head(ready), self._pending.slice(ready)
        return self._records(ticks)

    def next_us(self) -> int:
        """The instant of the schedule at which the next tick is due."""
        return int(self._pending["due"][0]) if self._pending.height else self._generated_us

    def _due_us(self, now_us: int) -> int:
        if self._pace is not None:
            return self._pace.due_us(now_us, self.next_us())
        behind_us = now_us - self.next_us()
        if behind_us > MAX_BEHIND_US:
            self._postpone((behind_us - MAX_BEHIND_US) // 2 * 2)
        return now_us

    def _ready(self, due_us: int) -> int:
        # Ticks due after the last generated slot may follow ticks that are not generated yet.
        last_us = min(due_us, self._generated_us - 1)
        return int(self._pending["due"].search_sorted(last_us, side="right"))

    def _postpone(self, by_us: int) -> None:
        """Move the slots from the next one on. Delayed ticks keep event times and numbers."""
        shift_us = pl.when(pl.col("slot") >= self.next_us()).then(by_us).otherwise(0)
        self._pending = self._pending.with_columns(
            *(pl.col(instant) + shift_us for instant in ("slot", "event", "due", "received"))
        ).sort("due", "slot", maintain_order=True)
        self._start_us += by_us
        self._generated_us += by_us

    def _generate(self) -> None:
        block = self._block()
        self._next_slot += _BLOCK
        self._generated_us = self._slot_us(self._next_slot)
        if self._pending.height:
            block = pl.concat([self._pending, block])
        self._pending = (
            block.sort("due", "slot", maintain_order=True) if self._flaws.any() else block
        )

    def _slot_us(self, index: int) -> int:
        return self._start_us + 2 * int(index * (MAX_RATE_PER_S / self._rate_per_s))

    def _block(self) -> Quotes:
        """The next ticks of the schedule: quotes in points, instants and flaws."""
        index = pl.int_range(self._next_slot, self._next_slot + _BLOCK, eager=True)
        slot = self._start_us + 2 * (index * (MAX_RATE_PER_S / self._rate_per_s)).cast(pl.Int64)
        quotes = self._walks.move(_BLOCK).with_columns(
            slot=slot,
            event=slot,
            due=slot,
            received=slot + 1_000 + (self._walks.uniform(_BLOCK) * 19_000).cast(pl.Int64),
            flaw=pl.lit(_NONE, pl.UInt8),
        )
        if self._kinds != "quotes":
            share = 1.0 if self._kinds == "trades" else TRADE_SHARE
            quotes = quotes.with_columns(
                is_trade=self._walks.uniform(_BLOCK) < share,
                side=self._walks.uniform(_BLOCK),
                size=self._walks.uniform(_BLOCK),
            )
        return self._add_flaws(quotes) if self._flaws.any() else quotes

    def _add_flaws(self, quotes: Quotes) -> Quotes:
        flaws, draws, lower = self._flaws, self._walks.uniform(_BLOCK), 0.0
        flaw = pl.lit(_NONE, pl.UInt8)
        for kind, share in (
            (_LATE, flaws.late),
            (_OUT_OF_ORDER, flaws.out_of_order),
            (_DUPLICATE, flaws.duplicates),
            (_INVALID, flaws.invalid),
        ):
            if share:
                is_flawed = (pl.lit(draws) >= lower) & (pl.lit(draws) < lower + share)
                flaw = pl.when(is_flawed).then(pl.lit(kind, pl.UInt8)).otherwise(flaw)
                lower += share
        corruption = _INVALID + (self._walks.uniform(_BLOCK) * len(_CORRUPTIONS)).cast(pl.UInt8)
        flaw = pl.when(flaw == _INVALID).then(pl.lit(corruption)).otherwise(flaw)
        # At least 1, so that a delayed tick is due after the other ticks of its slot.
        delay = 1 + (self._walks.uniform(_BLOCK) * flaws.disorder_us).cast(pl.Int64)
        flawed = quotes.with_columns(flaw=flaw, delay=delay)
        is_late, is_delayed = pl.col("flaw") == _LATE, pl.col("flaw") == _OUT_OF_ORDER
        late_by_us = flaws.late_by_us // 2 * 2 + 1
        first = flawed.with_columns(
            event=pl.col("event") - pl.when(is_late).then(late_by_us).otherwise(0),
            due=pl.col("due") + pl.when(is_delayed).then(pl.col("delay")).otherwise(0),
            received=pl.col("received") + pl.when(is_delayed).then(pl.col("delay")).otherwise(0),
        )
        duplicates = flawed.filter(pl.col("flaw") == _DUPLICATE).with_columns(
            due=pl.col("due") + pl.col("delay")
        )
        return pl.concat([first, duplicates]).drop("delay")

    def _records(self, ticks: Quotes) -> Records:
        keys, values = self._encoded(ticks)
        is_invalid = ticks["flaw"] >= _INVALID
        corruptions = ticks["flaw"].filter(is_invalid) - _INVALID
        for i, corruption in zip(is_invalid.arg_true(), corruptions, strict=True):
            values[i] = _CORRUPTIONS[corruption](values[i])
        return Records(keys, values)

    def _encoded(self, ticks: Quotes) -> tuple[list[bytes], list[bytes]]:
        """The keys and values of ticks, in order."""
        if self._kinds == "quotes":
            return self._quotes(ticks)
        if self._kinds == "trades":
            return self._trades(ticks)
        is_trade = ticks["is_trade"]
        parts = (self._quotes(ticks.filter(~is_trade)), self._trades(ticks.filter(is_trade)))
        records = [iter(zip(*part, strict=True)) for part in parts]
        ordered = [next(records[number]) for number in is_trade.cast(pl.Int8).to_list()]
        return [key for key, _ in ordered], [value for _, value in ordered]

    def _quotes(self, ticks: Quotes) -> tuple[list[bytes], list[bytes]]:
        quotes = self._walks.prices(ticks).with_columns(
            askMarkup=pl.lit(0), bidMarkup=pl.lit(0), isTradable=pl.lit(value=True)
        )
        return encode_ticks(_dated(quotes, ticks))

    def _trades(self, ticks: Quotes) -> tuple[list[bytes], list[bytes]]:
        names = self._walks.prices(ticks).select("source", "symbol")
        trades = names.hstack(self._walks.trades(ticks, ticks.select("side", "size")))
        return encode_ticks(_dated(trades, ticks))


def _dated(fields: pl.DataFrame, ticks: Quotes) -> pl.DataFrame:
    """Fields of ticks with their numbers and instants."""
    return fields.with_columns(
        number=ticks["event"],
        dateTime=_text(ticks["event"]),
        receiveDateTime=_text(ticks["received"]),
    )


def _text(us: pl.Series) -> pl.Series:
    return us.cast(pl.Datetime("us")).dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")
