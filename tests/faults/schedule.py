"""What goes wrong when, from a seed. Pure: the same seed gives the same faults."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tests.aggregate.pipeline import tick
from tests.faults.engines import ALLOWED_LATENESS, NOON, STEP, Record, record


class Kind(StrEnum):
    KILL_ENGINE = "engine killed"
    KILL_BROKER = "broker killed"
    KILL_BOTH = "engine and broker killed"
    FREEZE = "engine frozen"
    LEAVE = "engine ended by SIGTERM"
    JOIN = "engine added"


#: How often each comes, beside the others.
SHARES = {
    Kind.KILL_ENGINE: 8,
    Kind.KILL_BROKER: 3,
    Kind.KILL_BOTH: 1,
    Kind.FREEZE: 3,
    Kind.LEAVE: 2,
    Kind.JOIN: 3,
}


@dataclass(frozen=True)
class Fault:
    """One of them, to one of the engines that are there."""

    kind: Kind
    #: Only when all has recovered from the ones before; else in the midst of what they left.
    settled: bool
    #: So long after that, or after the one before.
    after_s: float
    #: Which engine, as a share of those there.
    which: float
    #: Until the frozen engine goes on, or the next one is started.
    for_s: float


def schedule(seed: str) -> Iterator[Fault]:
    """Faults without end."""
    chance = random.Random(seed)
    while True:
        [kind] = chance.choices(list(SHARES), list(SHARES.values()))
        for_s = chance.uniform(0, 4)
        if kind is Kind.FREEZE and chance.random() < 0.5:
            # Beyond the group's session timeout of 6 s.
            for_s += 8
        yield Fault(kind, chance.random() < 0.4, chance.uniform(0, 3), chance.random(), for_s)


@dataclass(frozen=True)
class Lateness:
    """How late ticks may be, and the flags that say so."""

    allowed_lateness: timedelta
    flags: tuple[str, ...]


#: So short that a series that naps is dormant when it is moved to another engine.
SHORT = Lateness(
    timedelta(seconds=6),
    ("--allowed-lateness", "6s", "--max-future", "4s", "--watermark-delay", "1s"),
)
LATENESS = (Lateness(ALLOWED_LATENESS, ()), SHORT)


def with_naps(
    records: Iterator[Record],
    seed: int | str,
    late_by: timedelta,
    *,
    series: int = 8,
    every: int = 1000,
    begins: datetime = NOON,
    step: timedelta = STEP,
) -> Iterator[Record]:
    """The records, and each so many a few ticks of one of some series that nap in between.

    One that wakes begins with its last tick once more, and with a late one.
    """
    chance = random.Random(seed)
    last: dict[str, dict[str, Any]] = {}

    def quote(symbol: str, number: int, at: datetime) -> dict[str, Any]:
        text = at.isoformat(timespec="microseconds")
        return tick(text, round(chance.uniform(1, 100), 3), number, symbol)

    for number, one in enumerate(records):
        yield one
        if number % every:
            continue
        symbol, now = f"NAP{number // every % series}", begins + number * step
        if symbol in last:
            before = now - every * series * step
            yield record(last[symbol])
            yield record(quote(symbol, number, before - chance.random() * late_by))
        last[symbol] = quote(symbol, number, now)
        yield record(last[symbol])
