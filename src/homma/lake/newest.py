"""Which candle the records of a key leave: the rules of the contract, by columns. Pure.

A frame of records has the table's columns and

    gone       bool  a tombstone: of its candle only the key is there
    partition  i32, offset  i64, timestamp_us  i64   the record's
    sure       bool  it counts whatever the table holds

The newest record of a key is the candle. One without revision comes from an engine whose state may
have expired: it never replaces a candle of larger volume, unless a tombstone stands between them.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.lake.schema import CANDLE_KEY, CANDLES

ROW: Final = CANDLES[0].schema
RECORD: Final = pl.Schema(
    {
        **ROW,
        "gone": pl.Boolean(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp_us": pl.Int64(),
        "sure": pl.Boolean(),
    }
)
#: What is known of a series: its event clock and when its newest record was written.
CLOCKS: Final = pl.Schema(
    {
        "source": pl.String(),
        "symbol": pl.String(),
        "partition": pl.Int32(),
        "clock_us": pl.Int64(),
        "seen_us": pl.Int64(),
    }
)
_KEY: Final = list(CANDLE_KEY)


@dataclass(frozen=True, slots=True)
class FinalityRules:
    """When a candle is final whose engine does not say; microseconds."""

    interval: int
    watermark_delay_us: int
    idle_timeout_us: int


@dataclass(frozen=True, slots=True)
class Reduced:
    """One record a key, and how many records without revision were outdone among them."""

    records: pl.DataFrame
    superseded: int


def reduce(records: pl.DataFrame) -> Reduced:
    """What a reader who has not seen the table makes of records, at least one a key."""
    volume = pl.when("gone").then(-1).otherwise("volume")
    sure = pl.col("sure") | pl.col("gone") | pl.col("revision").is_not_null()
    last_sure = pl.col("offset").filter(pl.col("sure")).max().over(_KEY).fill_null(-1)
    counted = (
        records.with_columns(sure=sure, _volume=volume)
        .sort("offset")
        .filter(pl.col("offset") >= last_sure)
        .with_columns(_most=pl.col("_volume").cum_max().over(_KEY))
    )
    was_final = pl.col("is_final").fill_null(value=False).cast(pl.UInt8).cum_max().over(_KEY) > 0
    standing = counted.filter(pl.col("_volume") == pl.col("_most")).with_columns(
        is_final=pl.when(pl.col("is_final").is_null() & was_final)
        .then(pl.lit(value=True))
        .otherwise("is_final")
    )
    newest = (
        standing.with_columns(sure=pl.col("sure").any().over(_KEY))
        .unique(_KEY, keep="last", maintain_order=True)
        .select(RECORD.names())
    )
    return Reduced(newest, counted.height - standing.height)


@dataclass(frozen=True, slots=True)
class CandleChange:
    """What becomes of a table: its open rows, new final rows, and keys whose final row goes.

    `kept` are rows that a record without revision would have made smaller.
    """

    open: pl.DataFrame
    final: pl.DataFrame
    dropped: pl.DataFrame
    kept: pl.DataFrame


def merge(
    open_rows: pl.DataFrame,
    found_final: pl.DataFrame,
    records: pl.DataFrame,
    clocks: pl.DataFrame,
    rules: FinalityRules,
) -> CandleChange:
    """Put reduced records into a table, of whose final rows those with their keys were found."""
    there = pl.concat([open_rows, found_final])
    held = there.select(*_KEY, held_volume="volume")
    judged = records.join(held, on=_KEY, how="left", maintain_order="left")
    outdone = ~pl.col("sure") & (pl.col("held_volume") > pl.col("volume")).fill_null(value=False)
    wins = judged.filter(~outdone)
    was_final = found_final.select(*_KEY, was_final=pl.lit(value=True))
    rows = (
        wins.filter(~pl.col("gone"))
        .join(was_final, on=_KEY, how="left", maintain_order="left")
        # Final never goes back, unless the engine says so or the candle had gone meanwhile.
        .with_columns(
            is_final=pl.when("sure")
            .then("is_final")
            .otherwise(pl.coalesce("is_final", "was_final"))
        )
        .select(ROW.names())
    )
    untouched = open_rows.join(wins, on=_KEY, how="anti").with_columns(
        # Of an engine that does not say: it may have become final by now.
        is_final=pl.when(pl.col("revision").is_not_null()).then("is_final")
    )
    settled = with_finality(pl.concat([untouched, rows]), clocks, rules)
    return CandleChange(
        open=settled.filter(~pl.col("is_final")),
        final=settled.filter("is_final"),
        dropped=found_final.join(wins, on=_KEY, how="semi").select(_KEY),
        kept=there.join(judged.filter(outdone), on=_KEY, how="semi"),
    )


def with_finality(rows: pl.DataFrame, clocks: pl.DataFrame, rules: FinalityRules) -> pl.DataFrame:
    """`is_final` where it is null: the rule that the engine closes its own candles by."""
    if not rows["is_final"].null_count():
        return rows
    end = INTERVALS[rules.interval].next(pl.col("date_time").dt.epoch("us"))
    quiet_us = pl.col("now_us") - pl.col("seen_us")
    idle = quiet_us >= rules.idle_timeout_us
    reached = (
        pl.col("clock_us") + pl.when(idle).then(quiet_us).otherwise(0) - rules.watermark_delay_us
    )
    # A partition's clock, as the engine's is: others may be far behind or ahead.
    now_us = pl.col("seen_us").max().over("partition")
    now = clocks.select(*NAMES, "clock_us", "seen_us", now_us=now_us)
    return (
        rows.join(now, on=NAMES, how="left", maintain_order="left")
        .with_columns(is_final=pl.coalesce("is_final", (reached >= end).fill_null(value=False)))
        .select(ROW.names())
    )


def clocks_of(rows: pl.DataFrame) -> pl.DataFrame:
    """What open rows tell of their series: not when they were written, nor where."""
    return (
        rows.group_by(NAMES)
        .agg(
            partition=pl.lit(None, pl.Int32),
            clock_us=pl.coalesce("close_date_time", "date_time").dt.epoch("us").max(),
            seen_us=pl.lit(None, pl.Int64),
        )
        .select(CLOCKS.names())
    )


def advance(clocks: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Clocks moved on by records, never back."""
    seen = records.filter(~pl.col("gone")).select(
        *NAMES,
        "partition",
        clock_us=pl.coalesce("close_date_time", "date_time").dt.epoch("us"),
        seen_us="timestamp_us",
    )
    return (
        pl.concat([clocks, seen.select(CLOCKS.names())])
        .group_by(NAMES, maintain_order=True)
        .agg(
            pl.col("partition").drop_nulls().last(),
            pl.col("clock_us").max().fill_null(BEFORE_ALL_US),
            pl.col("seen_us").max(),
        )
        .select(CLOCKS.names())
    )


def split(clocks: pl.DataFrame, records: pl.DataFrame) -> tuple[str, str, list[int]] | None:
    """A series that stands in two partitions, with these; another engine's may."""
    own = records.filter(pl.col("revision").is_not_null())
    both = pl.concat(
        [clocks.select(*NAMES, "partition"), own.select(*NAMES, "partition")]
    ).drop_nulls("partition")
    found = both.group_by(NAMES).agg(pl.col("partition").unique().sort())
    for source, symbol, partitions in found.filter(pl.col("partition").list.len() > 1).iter_rows():
        return source, symbol, partitions
    return None
