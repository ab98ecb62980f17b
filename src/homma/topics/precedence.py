"""Which record of a key is the candle. Pure.

1. Of two records in one partition, the one with the larger offset is **newer**; of records in
   different partitions, the one with the larger Kafka timestamp.
2. The newest record of a key is the candle. If it is a tombstone, there is no candle.
3. A record without revision comes from an engine whose state may have expired. It is **superseded**
   by an older candle with more ticks, unless a tombstone or a record with revision is in
   between.

`land`, `serve` and `tail` follow all three. A restart, `verify`, `repair` and Trino's views use the
newest record whatever its revision is, which is all that a compacted topic keeps: a restart refuses
records of other engines, and `verify` and `repair` compare all candles with the ticks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import polars as pl

#: The rank of a record among those of its key and partition in Trino's tables; 1 is the newest.
NEWEST_IN_SQL: Final = (
    "row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC)"
)


class Written(Protocol):
    """Where a record is, and its Kafka timestamp."""

    @property
    def partition(self) -> int:
        """The partition of the topic."""

    @property
    def offset(self) -> int:
        """The offset in the partition."""

    @property
    def timestamp_ms(self) -> int:
        """Kafka's timestamp."""


def is_newer(a: Written, b: Written) -> bool:
    """Whether record `a` is newer than record `b`."""
    if a.partition == b.partition:
        return a.offset > b.offset
    return (a.timestamp_ms, a.partition) > (b.timestamp_ms, b.partition)


def is_superseded(revision: int | None, volume: float, older_volume: float) -> bool:
    """Whether a record is superseded by an older candle of its key."""
    return revision is None and older_volume > volume


def superseded(is_authoritative: pl.Expr, volume: pl.Expr, older_volume: pl.Expr) -> pl.Expr:
    """As `is_superseded`, for columns; `older_volume` is null if there is no older candle.

    A record is authoritative if it is a tombstone, has a revision, or is newer than such a record.
    """
    return ~is_authoritative & (older_volume > volume).fill_null(value=False)


def newest_of_partition(records: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The newest record of each key, of one partition's records in the order of their offsets."""
    return records.unique(key, keep="last", maintain_order=True)


def newest(records: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The newest record of each key (columns partition, timestamp_ms).

    The records of each partition are in the order of their offsets.
    """
    by_partition = newest_of_partition(records, (*key, "partition"))
    return by_partition.sort("timestamp_ms", "partition").unique(
        key, keep="last", maintain_order=True
    )


def without_tombstones(records: pl.DataFrame) -> pl.DataFrame:
    """The candles of records in which a tombstone has a null `volume`; all columns stay."""
    return records.filter(pl.col("volume").is_not_null())


@dataclass(frozen=True, slots=True)
class ReducedRecords:
    """One record per key, with all its columns, and the number of superseded records."""

    records: pl.DataFrame
    superseded: int


def reduce(records: pl.DataFrame, key: Sequence[str]) -> ReducedRecords:
    """Reduce records to the candle of each key.

    Columns: the key, volume, revision, is_final, is_deleted (a tombstone), partition, offset,
    timestamp_us and is_authoritative, which is false in a record that was not reduced before. A
    record without is_final is final if the candle that it replaces is.
    """
    volume = pl.when("is_deleted").then(-1).otherwise("volume")
    is_authoritative = (
        pl.col("is_authoritative") | pl.col("is_deleted") | pl.col("revision").is_not_null()
    )
    last_authoritative = pl.col("_row").filter(pl.col("is_authoritative")).max().over(key)
    candidates = (
        _in_order(records)
        .with_columns(is_authoritative=is_authoritative, _volume=volume)
        .with_row_index("_row")
        .filter(pl.col("_row") >= last_authoritative.fill_null(0))
        .with_columns(_largest=pl.col("_volume").cum_max().over(key))
    )
    was_final = pl.col("is_final").forward_fill().over(key)
    winners = candidates.filter(pl.col("_volume") == pl.col("_largest")).with_columns(
        is_final=pl.coalesce("is_final", pl.when(was_final).then(was_final))
    )
    reduced = (
        winners.with_columns(is_authoritative=pl.col("is_authoritative").any().over(key))
        .unique(key, keep="last", maintain_order=True)
        .select(records.columns)
    )
    return ReducedRecords(reduced, candidates.height - winners.height)


def _in_order(records: pl.DataFrame) -> pl.DataFrame:
    """The records from the oldest to the newest."""
    if records["partition"].n_unique() <= 1:
        return records.sort("offset")
    # A timestamp may be smaller than that of an earlier record of its partition.
    written_us = pl.col("timestamp_us").cum_max().over("partition").alias("_written_us")
    return (
        records.sort("partition", "offset")
        .with_columns(written_us)
        .sort("_written_us", maintain_order=True)
        .drop("_written_us")
    )
