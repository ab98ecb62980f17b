"""Which ticks have been counted, so that a duplicate counts once.

An identity is (series, event_us, number). It is kept while a copy of its tick would still be in
time, that is until the end of its minute lies `allowed_lateness` behind its series' event clock.
Identities of one event minute stand together in a bucket: whole buckets are forgotten, and a tick
is looked up in one bucket only. Each bucket knows the smallest input offset of its ticks, which is
how far back a restart has to read ticks again.

There are many: ten minutes of 20,000 ticks a second are 12 million. So a bucket that grows packs
what it has (3 to 5 bytes an identity instead of 20), and a packed part is opened only for a tick
that may be in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Final

import polars as pl

from homma.core.interval import MINUTE_US

IDENTITY: Final = ("series", "event_us", "number")
_SCHEMA: Final = pl.Schema({"series": pl.UInt32, "event_us": pl.Int64, "number": pl.Int64})
#: So many identities of a bucket are packed together.
_PACKED: Final = 50_000
# Each batch adds a chunk to its bucket; a join over very many chunks is slow.
_CHUNKS: Final = 64


@dataclass(frozen=True, slots=True)
class Packed:
    """Identities, compressed. Neighbours differ little, so their differences are what is kept."""

    data: bytes
    height: int
    oldest_us: int
    newest_us: int
    series: pl.Series

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "Packed":
        """Pack identities, at least one."""
        ordered = rows.sort(IDENTITY)
        apart = ordered.select(
            (pl.col(name).cast(pl.Int64) - pl.col(name).cast(pl.Int64).shift(1, fill_value=0))
            for name in IDENTITY
        )
        data = BytesIO()
        apart.write_ipc(data, compression="zstd")
        oldest_us, newest_us = ordered.select(
            pl.col("event_us").min().alias("oldest"), pl.col("event_us").max().alias("newest")
        ).row(0)
        series = ordered["series"].unique()
        return cls(data.getvalue(), rows.height, oldest_us, newest_us, series)

    def rows(self) -> pl.DataFrame:
        """What was packed."""
        return pl.read_ipc(BytesIO(self.data)).select(pl.all().cum_sum()).cast(_SCHEMA)

    def hits(self, ticks: pl.DataFrame) -> pl.DataFrame:
        """Those of its identities that are among the ticks'."""
        its = ticks.filter(pl.col("event_us").is_between(self.oldest_us, self.newest_us))
        # The few ticks stand on the right, where polars builds its table.
        return self.rows().join(its, on=IDENTITY, how="semi") if its.height else its


@dataclass(frozen=True, slots=True)
class Bucket:
    """The identities of one event minute."""

    rows: pl.DataFrame
    first_offset: int
    packed: tuple[Packed, ...] = ()
    #: False when all of its series are dormant: a restart recalls those when they wake.
    active: bool = True

    def and_(self, rows: pl.DataFrame, first_offset: int, most: int) -> "Bucket":
        """The bucket with more rows, packed when there are `most` of them."""
        both = pl.concat([self.rows, rows], rechunk=False)
        first_offset = min(self.first_offset, first_offset)
        if both.height >= most:
            packed = (*self.packed, Packed.of(both))
            return Bucket(both.clear(), first_offset, packed)
        if both.n_chunks() > _CHUNKS:
            both = both.rechunk()
        return Bucket(both, first_offset, self.packed)

    def hits(self, ticks: pl.DataFrame) -> pl.DataFrame:
        """Those of its identities that are among the ticks'."""
        found = [self.rows.join(ticks, on=IDENTITY, how="semi")]
        found += (packed.hits(ticks).select(IDENTITY) for packed in self.packed)
        return pl.concat(found)

    def of(self, alive: pl.Series, active: pl.Series) -> "Bucket | None":
        """What is left for the series of which `alive`, by code, is true; None where nothing is.

        A packed part may keep more, as long as half of its series are alive: opening it for each
        that is not would cost more than it frees.
        """
        rows = self.rows.filter(alive.gather(self.rows["series"]))
        left: list[Packed] = []
        for packed in self.packed:
            count = int(alive.gather(packed.series).sum())
            if 2 * count > packed.series.len():
                left.append(packed)
            elif count:
                its = packed.rows()
                rows = pl.concat([rows, its.filter(alive.gather(its["series"]))])
        if rows.is_empty() and not left:
            return None
        lively = alive & active
        any_active = bool(lively.gather(rows["series"]).any()) or any(
            bool(lively.gather(packed.series).any()) for packed in left
        )
        return replace(self, rows=rows, packed=tuple(left), active=any_active)

    def __len__(self) -> int:
        return self.rows.height + sum(packed.height for packed in self.packed)


@dataclass(frozen=True, slots=True)
class Identities:
    """Buckets by the start of their minute, microseconds. Immutable."""

    buckets: Mapping[int, Bucket] = field(default_factory=dict)
    packed_at: int = _PACKED

    def known(self, ticks: pl.DataFrame) -> pl.DataFrame:
        """The rows of `ticks` (series, event_us, number) that have been counted before."""
        hits = [
            bucket.hits(group)
            for minute, group in _by_minute(ticks)
            if (bucket := self.buckets.get(minute))
        ]
        return ticks.join(pl.concat(hits), on=IDENTITY, how="semi") if hits else ticks.clear()

    def add(self, ticks: pl.DataFrame) -> "Identities":
        """With the ticks (series, event_us, number, offset), none of which is known yet."""
        buckets = dict(self.buckets)
        for minute, group in _by_minute(ticks):
            rows = group.select(IDENTITY)
            first_offset = int(group["offset"].min())  # type: ignore[arg-type]
            old = buckets.get(minute) or Bucket(rows.clear(), first_offset)
            buckets[minute] = old.and_(rows, first_offset, self.packed_at)
        return replace(self, buckets=buckets)

    def forget(self, alive_us: pl.Series, active: pl.Series) -> "Identities":
        """Without the identities that no tick in time could repeat.

        By series code: `alive_us` is the start of the oldest minute still in time, `active` says
        whether the series has shown a tick lately.
        """
        newest_us = int(alive_us.max() or 0)  # type: ignore[arg-type]
        kept: dict[int, Bucket] = {}
        for minute, bucket in self.buckets.items():
            # Only a bucket that some series has outlived is looked into.
            left = bucket if minute >= newest_us else bucket.of(alive_us <= minute, active)
            if left is not None:
                kept[minute] = left
        return replace(self, buckets=kept)

    def recall_from(self, default: int) -> int:
        """The input offset from which ticks must be read again to know these identities."""
        firsts = [b.first_offset for b in self.buckets.values() if b.active]
        return min(firsts, default=default)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self.buckets.values())


def _by_minute(ticks: pl.DataFrame) -> Iterable[tuple[int, pl.DataFrame]]:
    minute = pl.col("event_us") - pl.col("event_us") % MINUTE_US
    keyed = ticks.with_columns(minute.alias("minute_us"))
    for (start,), group in keyed.partition_by("minute_us", as_dict=True, include_key=False).items():
        yield int(start), group
