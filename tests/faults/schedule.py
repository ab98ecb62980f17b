"""The faults of a round, from a seed. Pure: the same seed gives the same faults."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tests.support.engines import ALLOWED_LATENESS, NOON, STEP, Record, record
from tests.support.pipeline import tick


class Kind(StrEnum):
    KILL_ENGINE = "engine killed"
    KILL_BROKER = "broker killed"
    KILL_BOTH = "engine and broker killed"
    FREEZE = "engine frozen"
    LEAVE = "engine stopped by SIGTERM"
    JOIN = "engine added"


#: The relative frequency of each kind.
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
    """One fault, of one of the running engines."""

    kind: Kind
    #: Whether to wait until all partitions have recovered from earlier faults.
    after_recovery: bool
    #: The delay after that, or after the previous fault.
    after_s: float
    #: Which engine, as a fraction of the running engines.
    which: float
    #: Until the frozen engine continues, or the next engine starts.
    for_s: float


def schedule(seed: str) -> Iterator[Fault]:
    """An endless sequence of faults."""
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
    """The allowed lateness of a round, and its flags."""

    allowed_lateness: timedelta
    flags: tuple[str, ...]


#: So short that a pausing series is dormant when it moves to another engine.
SHORT = Lateness(
    timedelta(seconds=6),
    ("--allowed-lateness", "6s", "--max-future", "4s", "--watermark-delay", "1s"),
)
LATENESS = (Lateness(ALLOWED_LATENESS, ()), SHORT)


def with_pauses(
    records: Iterator[Record],
    seed: int | str,
    late_by: timedelta,
    *,
    series: int = 8,
    every: int = 1000,
    begins: datetime = NOON,
    step: timedelta = STEP,
) -> Iterator[Record]:
    """Add to the records, after every `every`th, ticks of a series that then pauses.

    When it resumes, a series first repeats its last tick and sends a late one.
    """
    chance = random.Random(seed)
    last: dict[str, dict[str, Any]] = {}

    def quote(symbol: str, number: int, at: datetime) -> dict[str, Any]:
        text = at.isoformat(timespec="microseconds")
        return tick(text, round(chance.uniform(1, 100), 3), number, symbol)

    for number, original in enumerate(records):
        yield original
        if number % every:
            continue
        symbol, now = f"NAP{number // every % series}", begins + number * step
        if symbol in last:
            before = now - every * series * step
            yield record(last[symbol])
            yield record(quote(symbol, number, before - chance.random() * late_by))
        last[symbol] = quote(symbol, number, now)
        yield record(last[symbol])
