"""Computes the records that correct the candle topics. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import polars as pl

from homma.core.candle import order_key_us
from homma.core.finality import FinalityRules, is_final
from homma.core.interval import CLOCK
from homma.core.recompute import (
    EXPECTED_KEY,
    RECORDED,
    CandleKeys,
    ExpectedCandles,
    RecordedCandles,
)
from homma.core.series import NAMES
from homma.lake.audit.comparing import NewestRecords
from homma.topics.offset_metadata import OffsetMetadata

CORRECTED: Final = pl.Schema({**RECORDED, "timestamp_ms": pl.Int64()})
#: Candles to publish as corrections, with the timestamp of their record.
CorrectedCandles: TypeAlias = pl.DataFrame

NEWEST_EVENT_TIME: Final = pl.Schema(
    {"source": pl.String(), "symbol": pl.String(), "newest_us": pl.Int64()}
)
#: The newest event time of each series.
NewestEventTimes: TypeAlias = pl.DataFrame


@dataclass(frozen=True, slots=True)
class Correction:
    """Candles to publish and keys to delete."""

    candles: CorrectedCandles
    tombstones: CandleKeys
    #: The candles that the engine must read at a restart.
    needed: CorrectedCandles

    @property
    def size(self) -> int:
        """The number of records."""
        return self.candles.height + self.tombstones.height

    def restrict(self, keys: CandleKeys) -> "Correction":
        """The part with some keys."""
        candles, tombstones, needed = (
            rows.join(keys, on=EXPECTED_KEY, how="semi")
            for rows in (self.candles, self.tombstones, self.needed)
        )
        return Correction(candles, tombstones, needed)


def compute_correction(
    expected: ExpectedCandles,
    keys: CandleKeys,
    records: NewestRecords,
    table: RecordedCandles,
    newest_times: NewestEventTimes,
    clock_us: int,
    rules: FinalityRules,
) -> Correction:
    """Compute the records that make the candles of `keys` as expected.

    `records` and `table` have the keys' rows in topics and tables. `clock_us` is the partition's
    clock. `rules` are the engine's.
    """
    candles = expected.join(keys, on=EXPECTED_KEY, how="semi")
    removed = keys.join(expected, on=EXPECTED_KEY, how="anti")
    topic_state = records.filter(pl.col("volume").is_not_null()).select(
        *EXPECTED_KEY, "is_final", "revision", "timestamp_ms"
    )
    table_state = table.select(*EXPECTED_KEY, in_table="is_final", table_revision="revision")
    # The timestamp of a month's record is that of the series' newest tick. If unknown, the series
    # counts as dormant: after a restart, its candles are read when its next tick arrives.
    dormant_ms = rules.active_from_us(clock_us) // 1000 - 1
    end_us, series_us = pl.col("end_us"), pl.col("series_us")
    now_final = is_final(
        end_us, rules.watermark_us(series_us), pl.col("is_final"), pl.col("in_table")
    )
    last_revision = pl.max_horizontal("revision", "table_revision").fill_null(0)
    # Candles that a restart does not need get an earlier timestamp than those it does.
    unknown_ms = (
        pl.when(pl.col("interval") == CLOCK.code)
        .then(dormant_ms)
        .when(pl.col("is_needed"))
        .then(clock_us // 1000)
        .otherwise(clock_us // 1000 - 1)
    )
    corrected = (
        candles.join(topic_state, on=EXPECTED_KEY, how="left")
        .join(table_state, on=EXPECTED_KEY, how="left")
        .join(newest_times.rename({"newest_us": "series_us"}), on=NAMES, how="left")
        .with_columns(is_final=now_final)
        .with_columns(is_needed=rules.may_change(pl.col("is_final"), end_us, series_us))
        .with_columns(
            timestamp_ms=pl.coalesce("timestamp_ms", unknown_ms),
            revision=pl.when("is_final").then(last_revision + 1).otherwise(0).cast(pl.Int32),
        )
    )
    columns = CORRECTED.names()
    needed = corrected.filter("is_needed")
    return Correction(
        corrected.select(columns), removed.select(EXPECTED_KEY), needed.select(columns)
    )


def newest_event_times(months: ExpectedCandles) -> NewestEventTimes:
    """The newest event times of series, from candles with the newest ticks."""
    return months.group_by(NAMES).agg(newest_us=order_key_us(pl.col("close_order_key").max()))


def updated_metadata(
    metadata: OffsetMetadata, offset: int, needed: CorrectedCandles
) -> OffsetMetadata:
    """Offset metadata for the same offset, so that a restart reads the published candles."""
    oldest_ms: Mapping[str, int] = dict(
        needed.group_by("interval").agg(pl.col("timestamp_ms").min()).iter_rows()
    )
    candles_from = {
        code: min(from_ms, oldest_ms.get(code, from_ms))
        for code, from_ms in metadata.candlesFrom.items()
    }
    return replace(metadata, lastTicksBefore=offset, candlesFrom=candles_from)
