"""A synthetic market for tests, and checks of its ticks with the rules of core/tick.py."""

from math import inf
from random import Random

import polars as pl

from homma.core.tick import TickRules, check
from homma.feed.instruments import market
from homma.feed.source import Pacer, TickSource
from homma.feed.synthetic import Flaws, Synthetic
from homma.settings import TickKinds
from homma.topics.codec import decode_ticks

START_US = 1_742_481_088_000_000  # 2025-03-20T14:31:28
RULES = TickRules(300_000_000)
SECOND_US = 1_000_000


def generated(
    seed: str = "7",
    *,
    rate_per_s: float = 1_000,
    start_us: int = START_US,
    flaws: Flaws | None = None,
    speed: float | None = inf,
    sources: int = 2,
    symbols: int = 10,
    kinds: TickKinds = "quotes",
) -> Synthetic:
    """A source of synthetic ticks: live if `speed` is None, else from 0 on the wall clock."""
    names, instruments = market(seed, sources, symbols)
    pace = None if speed is None else Pacer(start_us, speed, 0)
    return Synthetic(names, instruments, rate_per_s, start_us, Random(seed), flaws, pace, kinds)


def take_values(source: TickSource, count: int, batch: int = 10_000) -> list[bytes]:
    """The values of the next ticks of a source that does not wait."""
    values: list[bytes] = []
    while len(values) < count:
        records = source.take(0, min(batch, count - len(values)))
        assert records is not None
        assert len(records.keys) == len(records.values)
        values += records.values
    return values


def checked(values: list[bytes], timestamp_us: int = START_US) -> pl.DataFrame:
    """Parsed ticks with `event_us` and `error`, which is null if the tick is valid."""
    return check(decode_ticks(values).with_columns(timestamp_us=pl.lit(timestamp_us)), RULES)
