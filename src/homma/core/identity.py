"""Remembers which ticks have been counted, so that a duplicate counts once.

An identity is (series, event_us, number). It is remembered as long as a copy of its tick would
not be dropped as late: until the series' largest event time is `allowed_lateness` past the end of
the tick's minute. Identities of the same event minute share a bucket: buckets are forgotten as a
whole, and a tick is looked up in only one of them. Each bucket knows the smallest input offset of
its ticks, which is where a restart has to start reading ticks again.

Ten minutes at 20,000 ticks per second are 12 million identities. So a growing bucket packs its
identities (3 to 5 bytes each instead of 20), and a pack is opened only for a tick that may be in
it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Final, TypeAlias

import polars as pl

from homma.core.interval import MINUTE_US

IDENTITY: Final = ("series", "event_us", "number")
IDENTITIES: Final = pl.Schema({"series": pl.UInt32, "event_us": pl.Int64, "number": pl.Int64})
#: The identities of ticks.
TickIdentities: TypeAlias = pl.DataFrame
#: Identities per pack.
_PACK_SIZE: Final = 50_000
# Each batch adds a chunk to its bucket, and a join over very many chunks is slow.
_MAX_CHUNKS: Final = 64


@dataclass(frozen=True, slots=True)
class PackedIdentities:
    """Compressed identities. Neighbors differ little, so their differences are stored."""

    data: bytes
    height: int
    oldest_us: int
    newest_us: int
    series: pl.Series

    @classmethod
    def pack(cls, rows: TickIdentities) -> "PackedIdentities":
        """Pack identities, at least one."""
        ordered = rows.sort(IDENTITY)
        differences = ordered.select(
            (pl.col(name).cast(pl.Int64) - pl.col(name).cast(pl.Int64).shift(1, fill_value=0))
            for name in IDENTITY
        )
        data = BytesIO()
        differences.write_ipc(data, compression="zstd")
        oldest_us, newest_us = ordered.select(
            pl.col("event_us").min().alias("oldest"), pl.col("event_us").max().alias("newest")
        ).row(0)
        series = ordered["series"].unique()
        return cls(data.getvalue(), rows.height, oldest_us, newest_us, series)

    def rows(self) -> TickIdentities:
        """The identities that were packed."""
        return pl.read_ipc(BytesIO(self.data)).select(pl.all().cum_sum()).cast(IDENTITIES)

    def matches(self, ticks: TickIdentities) -> TickIdentities:
        """The identities of this pack that `ticks` have too."""
        candidates = ticks.filter(pl.col("event_us").is_between(self.oldest_us, self.newest_us))
        if candidates.is_empty():
            return candidates
        # polars builds its hash table from the right side: the few ticks.
        return self.rows().join(candidates, on=IDENTITY, how="semi")


@dataclass(frozen=True, slots=True)
class Bucket:
    """The identities of one event minute."""

    rows: TickIdentities
    first_offset: int
    packs: tuple[PackedIdentities, ...] = ()
    #: False if all its series are dormant: a restart reads their ticks again when they wake.
    is_active: bool = True

    def add(self, rows: TickIdentities, first_offset: int, pack_size: int) -> "Bucket":
        """The bucket with more rows, packed once there are `pack_size` of them."""
        rows = pl.concat([self.rows, rows], rechunk=False)
        first_offset = min(self.first_offset, first_offset)
        if rows.height >= pack_size:
            packs = (*self.packs, PackedIdentities.pack(rows))
            return Bucket(rows.clear(), first_offset, packs)
        if rows.n_chunks() > _MAX_CHUNKS:
            rows = rows.rechunk()
        return Bucket(rows, first_offset, self.packs)

    def matches(self, ticks: TickIdentities) -> TickIdentities:
        """The identities of this bucket that `ticks` have too."""
        matches = [self.rows.join(ticks, on=IDENTITY, how="semi")]
        matches += (pack.matches(ticks).select(IDENTITY) for pack in self.packs)
        return pl.concat(matches)

    def retain(self, is_needed: pl.Series, is_active: pl.Series) -> "Bucket | None":
        """The bucket with only the series that are needed; None if there are none.

        Both arguments are flags by series code. A pack stays whole while more than half of its
        series are needed: opening it for each series would cost more than it frees.
        """
        rows = self.rows.filter(is_needed.gather(self.rows["series"]))
        packs: list[PackedIdentities] = []
        for pack in self.packs:
            needed_count = int(is_needed.gather(pack.series).sum())
            if 2 * needed_count > pack.series.len():
                packs.append(pack)
            elif needed_count:
                unpacked = pack.rows()
                needed = unpacked.filter(is_needed.gather(unpacked["series"]))
                rows = pl.concat([rows, needed])
        if rows.is_empty() and not packs:
            return None
        flags = is_needed & is_active
        any_active = bool(flags.gather(rows["series"]).any()) or any(
            bool(flags.gather(pack.series).any()) for pack in packs
        )
        return replace(self, rows=rows, packs=tuple(packs), is_active=any_active)

    def __len__(self) -> int:
        return self.rows.height + sum(pack.height for pack in self.packs)


@dataclass(frozen=True, slots=True)
class Identities:
    """Buckets by the start of their minute, in microseconds. Immutable."""

    buckets: Mapping[int, Bucket] = field(default_factory=dict)
    pack_size: int = _PACK_SIZE

    def known(self, ticks: TickIdentities) -> TickIdentities:
        """The rows of `ticks`, with all their columns, that have been counted before."""
        matches = [
            bucket.matches(group)
            for minute, group in _by_minute(ticks)
            if (bucket := self.buckets.get(minute))
        ]
        return ticks.join(pl.concat(matches), on=IDENTITY, how="semi") if matches else ticks.clear()

    def add(self, ticks: TickIdentities) -> "Identities":
        """With more ticks, which have an `offset` too, and none of which is known yet."""
        buckets = dict(self.buckets)
        for minute, group in _by_minute(ticks):
            rows = group.select(IDENTITY)
            first_offset = int(group["offset"].min())  # type: ignore[arg-type]
            bucket = buckets.get(minute) or Bucket(rows.clear(), first_offset)
            buckets[minute] = bucket.add(rows, first_offset, self.pack_size)
        return replace(self, buckets=buckets)

    def forget(self, needed_from_us: pl.Series, is_active: pl.Series) -> "Identities":
        """Without the identities whose copies would be dropped as late anyway.

        By series code: the start of the oldest minute whose ticks still count, and whether the
        series is active.
        """
        newest_us = int(needed_from_us.max() or 0)  # type: ignore[arg-type]
        buckets: dict[int, Bucket] = {}
        for minute, bucket in self.buckets.items():
            # A bucket that all series still need is not opened.
            retained = (
                bucket
                if minute >= newest_us
                else bucket.retain(needed_from_us <= minute, is_active)
            )
            if retained is not None:
                buckets[minute] = retained
        return replace(self, buckets=buckets)

    def recall_from(self, default: int) -> int:
        """The input offset from which ticks must be read again to restore these identities."""
        offsets = [b.first_offset for b in self.buckets.values() if b.is_active]
        return min(offsets, default=default)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self.buckets.values())


def _by_minute(ticks: TickIdentities) -> Iterable[tuple[int, TickIdentities]]:
    minute = pl.col("event_us") - pl.col("event_us") % MINUTE_US
    keyed = ticks.with_columns(minute.alias("minute_us"))
    for (start,), group in keyed.partition_by("minute_us", as_dict=True, include_key=False).items():
        yield int(start), group
