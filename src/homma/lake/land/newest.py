"""Merges records of candles into a table, column by column. Pure.

A record has the table's columns and

    is_deleted        bool  a tombstone: only the key columns have values
    partition  i32, offset  i64, timestamp_us  i64   of the record in Kafka
    is_authoritative  bool  the record replaces any candle in the table

`topics/precedence.py` decides which record of a key is the candle, and `core/finality.py` when a
candle is final whose engine does not record it.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl

from homma.core.finality import FinalityRules, is_final
from homma.core.interval import Interval
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.lake.schema import CANDLE_KEY, CANDLE_ROW, CandleRows
from homma.topics import precedence

RECORD: Final = pl.Schema(
    {
        **CANDLE_ROW,
        "is_deleted": pl.Boolean(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp_us": pl.Int64(),
        "is_authoritative": pl.Boolean(),
    }
)
#: Records of a candle topic as rows of its table, tombstones included.
RecordRows: TypeAlias = pl.DataFrame

SERIES_TIMES: Final = pl.Schema(
    {
        "source": pl.String(),
        "symbol": pl.String(),
        "partition": pl.Int32(),
        "newest_us": pl.Int64(),
        "seen_us": pl.Int64(),
    }
)
#: By series: the newest event time, and the timestamp of the newest record.
SeriesTimes: TypeAlias = pl.DataFrame

_KEY: Final = list(CANDLE_KEY)


@dataclass(frozen=True, slots=True)
class CandleChange:
    """Changes to a table: all its open rows, new final rows, and keys of final rows to remove.

    `retained` are rows with more ticks than a newer record without revision.
    """

    open: CandleRows
    final: CandleRows
    #: Columns CANDLE_KEY.
    removed: pl.DataFrame
    retained: CandleRows


def merge(
    open_rows: CandleRows,
    final_rows: CandleRows,
    records: RecordRows,
    times: SeriesTimes,
    interval: Interval,
    rules: FinalityRules,
) -> CandleChange:
    """Merge reduced records into a table; `final_rows` are its final rows with the same keys."""
    rows_before = pl.concat([open_rows, final_rows])
    volumes = rows_before.select(*_KEY, table_volume="volume")
    candidates = records.join(volumes, on=_KEY, how="left", maintain_order="left")
    is_superseded = precedence.superseded(
        pl.col("is_authoritative"), pl.col("volume"), pl.col("table_volume")
    )
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
        .select(CANDLE_ROW.names())
    )
    untouched = open_rows.join(winners, on=_KEY, how="anti").with_columns(
        # Without a revision, isFinal is computed: the candle may have become final by now.
        is_final=pl.when(pl.col("revision").is_not_null()).then("is_final")
    )
    result = with_finality(pl.concat([untouched, rows]), times, interval, rules)
    return CandleChange(
        open=result.filter(~pl.col("is_final")),
        final=result.filter("is_final"),
        removed=final_rows.join(winners, on=_KEY, how="semi").select(_KEY),
        retained=rows_before.join(candidates.filter(is_superseded), on=_KEY, how="semi"),
    )


def with_finality(
    rows: CandleRows, times: SeriesTimes, interval: Interval, rules: FinalityRules
) -> CandleRows:
    """Compute null `is_final` from the estimated watermarks."""
    if not rows["is_final"].null_count():
        return rows
    end_us = interval.next(pl.col("date_time").dt.epoch("us"))
    idle_us = pl.col("now_us") - pl.col("seen_us")
    watermark_us = rules.estimated_watermark_us(pl.col("newest_us"), idle_us)
    # The clock is the partition's, as in the engine: partitions may be far apart.
    now_us = pl.col("seen_us").max().over("partition")
    clocks = times.select(*NAMES, "newest_us", "seen_us", now_us=now_us)
    return (
        rows.join(clocks, on=NAMES, how="left", maintain_order="left")
        .with_columns(is_final=pl.coalesce("is_final", is_final(end_us, watermark_us)))
        .select(CANDLE_ROW.names())
    )


def times_of(rows: CandleRows) -> SeriesTimes:
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


def advance(times: SeriesTimes, records: RecordRows) -> SeriesTimes:
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
