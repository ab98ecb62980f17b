"""Which ticks have been counted, so that a duplicate counts once.

An identity is (series, place). It is kept while a copy of its tick would still be in time, that
is until the end of its minute lies `correct_for` behind its series' event clock. Identities of
one event minute stand together in a bucket: whole buckets are forgotten, and a tick is looked up
in one bucket only. Each bucket knows the smallest input offset of its ticks, which is how far
back a restart has to read ticks again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from homma.core.interval import MINUTE_US

IDENTITY: Final = ("series", "place")
# Each batch adds a chunk to its bucket; a join over very many chunks is slow.
_CHUNKS: Final = 64


@dataclass(frozen=True, slots=True)
class Bucket:
    """The identities (columns series, place) of one event minute."""

    rows: pl.DataFrame
    first_offset: int
    #: False when all of its series are dormant: a restart recalls those when they wake.
    active: bool = True

    def and_(self, rows: pl.DataFrame, first_offset: int) -> "Bucket":
        """The bucket with more rows."""
        both = pl.concat([self.rows, rows], rechunk=False)
        if both.n_chunks() > _CHUNKS:
            both = both.rechunk()
        return Bucket(both, min(self.first_offset, first_offset))


@dataclass(frozen=True, slots=True)
class Identities:
    """Buckets by the start of their minute, microseconds. Immutable."""

    buckets: Mapping[int, Bucket] = field(default_factory=dict)

    def known(self, ticks: pl.DataFrame) -> pl.DataFrame:
        """The rows of `ticks` (series, place, event_us) that have been counted before."""
        hits = [
            group.join(bucket.rows, on=IDENTITY, how="semi")
            for (minute,), group in _by_minute(ticks)
            if (bucket := self.buckets.get(int(minute)))  # type: ignore[call-overload]
        ]
        return pl.concat(hits) if hits else ticks.clear()

    def add(self, ticks: pl.DataFrame) -> "Identities":
        """With the ticks (series, place, event_us, offset), none of which is known yet."""
        buckets = dict(self.buckets)
        for (minute,), group in _by_minute(ticks):
            start = int(minute)  # type: ignore[call-overload]
            rows = group.select(IDENTITY)
            first_offset = int(group["offset"].min())  # type: ignore[arg-type]
            old = buckets.get(start)
            buckets[start] = old.and_(rows, first_offset) if old else Bucket(rows, first_offset)
        return Identities(buckets)

    def forget(self, alive_us: pl.Series, active: pl.Series) -> "Identities":
        """Without the identities that no tick in time could repeat.

        By series code: `alive_us` is the start of the oldest minute still in time, `active` says
        whether the series has shown a tick lately.
        """
        newest_us = int(alive_us.max() or 0)  # type: ignore[arg-type]
        kept: dict[int, Bucket] = {}
        for minute, bucket in self.buckets.items():
            if minute >= newest_us:
                kept[minute] = bucket
                continue
            # Only a bucket that some series has outlived is looked into row by row.
            rows = bucket.rows.filter(alive_us.gather(bucket.rows["series"]) <= minute)
            if not rows.is_empty():
                lively = bool(active.gather(rows["series"]).any())
                kept[minute] = replace(bucket, rows=rows, active=lively)
        return Identities(kept)

    def recall_from(self, default: int) -> int:
        """The input offset from which ticks must be read again to know these identities."""
        firsts = [b.first_offset for b in self.buckets.values() if b.active]
        return min(firsts, default=default)

    def __len__(self) -> int:
        return sum(bucket.rows.height for bucket in self.buckets.values())


def _by_minute(ticks: pl.DataFrame) -> list[tuple[tuple[object, ...], pl.DataFrame]]:
    minute = pl.col("event_us") - pl.col("event_us") % MINUTE_US
    keyed = ticks.with_columns(minute.alias("minute_us"))
    parts = keyed.partition_by("minute_us", as_dict=True, include_key=False)
    return list(parts.items())
