"""Decides which record of a key becomes the candle, column by column. Pure.

A frame of records has the table's columns and

    is_deleted        bool  a tombstone: only the key columns have values
    partition  i32, offset  i64, timestamp_us  i64   of the record in Kafka
    is_authoritative  bool  the record replaces any candle in the table

The newest record of a key is the candle. A record without revision comes from an engine whose state
may have expired: it never replaces a candle with a larger volume, unless a tombstone came between.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.interval import Interval
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.lake.schema import CANDLE_COLUMNS, CANDLE_KEY, schema_of

ROW: Final = schema_of(CANDLE_COLUMNS)
RECORD: Final = pl.Schema(
    {
        **ROW,
        "is_deleted": pl.Boolean(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp_us": pl.Int64(),
        "is_authoritative": pl.Boolean(),
    }
)
#: Per series: newest event time, and the timestamp of its newest record.
SERIES_TIMES: Final = pl.Schema(
    {
        "source": pl.String(),
        "symbol": pl.String(),
        "partition": pl.Int32(),
        "newest_us": pl.Int64(),
        "seen_us": pl.Int64(),
    }
)
_KEY: Final = list(CANDLE_KEY)


@dataclass(frozen=True, slots=True)
class FinalityRules:
    """When a candle without `isFinal` is final; microseconds."""

    interval: Interval
    watermark_delay_us: int
    idle_timeout_us: int


@dataclass(frozen=True, slots=True)
class NewestRecords:
    """The newest record of each key, and the number of superseded records without revision."""

    records: pl.DataFrame
    superseded: int


def reduce(records: pl.DataFrame) -> NewestRecords:
    """Reduce records to one per key, without knowledge of the table."""
    volume = pl.when("is_deleted").then(-1).otherwise("volume")
    is_authoritative = (
        pl.col("is_authoritative") | pl.col("is_deleted") | pl.col("revision").is_not_null()
    )
    last_authoritative = (
        pl.col("offset").filter(pl.col("is_authoritative")).max().over(_KEY).fill_null(-1)
    )
    candidates = (
        records.with_columns(is_authoritative=is_authoritative, _volume=volume)
        .sort("offset")
        .filter(pl.col("offset") >= last_authoritative)
        .with_columns(_largest=pl.col("_volume").cum_max().over(_KEY))
    )
    was_final = pl.col("is_final").fill_null(value=False).cast(pl.UInt8).cum_max().over(_KEY) > 0
    winners = candidates.filter(pl.col("_volume") == pl.col("_largest")).with_columns(
        is_final=pl.when(pl.col("is_final").is_null() & was_final)
        .then(pl.lit(value=True))
        .otherwise("is_final")
    )
    newest = (
        winners.with_columns(is_authoritative=pl.col("is_authoritative").any().over(_KEY))
        .unique(_KEY, keep="last", maintain_order=True)
        .select(RECORD.names())
    )
    return NewestRecords(newest, candidates.height - winners.height)


@dataclass(frozen=True, slots=True)
class CandleChange:
    """Changes to a table: all its open rows, new final rows, and keys of final rows to remove.

    `retained` are rows with a larger volume than a newer record without revision.
    """

    open: pl.DataFrame
    final: pl.DataFrame
    removed: pl.DataFrame
    retained: pl.DataFrame


def merge(
    open_rows: pl.DataFrame,
    final_rows: pl.DataFrame,
    records: pl.DataFrame,
    times: pl.DataFrame,
    rules: FinalityRules,
) -> CandleChange:
    """Merge reduced records into a table; `final_rows` are its final rows with the same keys."""
    rows_before = pl.concat([open_rows, final_rows])
    volumes = rows_before.select(*_KEY, table_volume="volume")
    candidates = records.join(volumes, on=_KEY, how="left", maintain_order="left")
    is_superseded = ~pl.col("is_authoritative") & (
        pl.col("table_volume") > pl.col("volume")
    ).fill_null(value=False)
    winners = candidates.filter(~is_superseded)
    finals = final_rows.select(*_KEY, was_final=pl.lit(value=True))
    rows = (
        winners.filter(~pl.col("is_deleted"))
        .join(finals, on=_KEY, how="left", maintain_order="left")
        # Final candles stay final, unless the engine says otherwise or a tombstone came between.
        .with_columns(
            is_final=pl.when("is_authoritative")
            .then("is_final")
            .otherwise(pl.coalesce("is_final", "was_final"))
        )
        .select(ROW.names())
    )
    untouched = open_rows.join(winners, on=_KEY, how="anti").with_columns(
        # Without a revision, isFinal is computed: the candle may have become final by now.
        is_final=pl.when(pl.col("revision").is_not_null()).then("is_final")
    )
    result = with_finality(pl.concat([untouched, rows]), times, rules)
    return CandleChange(
        open=result.filter(~pl.col("is_final")),
        final=result.filter("is_final"),
        removed=final_rows.join(winners, on=_KEY, how="semi").select(_KEY),
        retained=rows_before.join(candidates.filter(is_superseded), on=_KEY, how="semi"),
    )


def with_finality(rows: pl.DataFrame, times: pl.DataFrame, rules: FinalityRules) -> pl.DataFrame:
    """Compute null `is_final` by the rule of homma's engine."""
    if not rows["is_final"].null_count():
        return rows
    end = rules.interval.next(pl.col("date_time").dt.epoch("us"))
    silence_us = pl.col("now_us") - pl.col("seen_us")
    is_idle = silence_us >= rules.idle_timeout_us
    watermark_us = (
        pl.col("newest_us")
        + pl.when(is_idle).then(silence_us).otherwise(0)
        - rules.watermark_delay_us
    )
    # The clock is the partition's, as in the engine: partitions may be far apart.
    now_us = pl.col("seen_us").max().over("partition")
    clocks = times.select(*NAMES, "newest_us", "seen_us", now_us=now_us)
    return (
        rows.join(clocks, on=NAMES, how="left", maintain_order="left")
        .with_columns(
            is_final=pl.coalesce("is_final", (watermark_us >= end).fill_null(value=False))
        )
        .select(ROW.names())
    )


def times_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Newest event times of the series of open rows; partition and seen_us are unknown."""
    return (
        rows.group_by(NAMES)
        .agg(
            partition=pl.lit(None, pl.Int32),
            newest_us=pl.coalesce("close_date_time", "date_time").dt.epoch("us").max(),
            seen_us=pl.lit(None, pl.Int64),
        )
        .select(SERIES_TIMES.names())
    )


def advance(times: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Advance the series' times by records; times never go back."""
    newer = records.filter(~pl.col("is_deleted")).select(
        *NAMES,
        "partition",
        newest_us=pl.coalesce("close_date_time", "date_time").dt.epoch("us"),
        seen_us="timestamp_us",
    )
    return (
        pl.concat([times, newer.select(SERIES_TIMES.names())])
        .group_by(NAMES, maintain_order=True)
        .agg(
            pl.col("partition").drop_nulls().last(),
            pl.col("newest_us").max().fill_null(BEFORE_ALL_US),
            pl.col("seen_us").max(),
        )
        .select(SERIES_TIMES.names())
    )
