"""Computes the records that correct the candle topics. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import polars as pl

from homma.core.candle import order_key_us
from homma.core.finality import FinalityRules, is_final
from homma.core.interval import BY_CODE, CLOCK
from homma.core.recompute import (
    EXPECTED,
    EXPECTED_KEY,
    RECORDED,
    CandleKeys,
    ExpectedCandles,
    RecordedCandles,
)
from homma.core.series import NAMES
from homma.lake.audit.comparing import NewestRecords
from homma.topics.kafka.published_candles import TopicCandles
from homma.topics.offset_metadata import OffsetMetadata
from homma.topics.precedence import without_tombstones

CORRECTED: Final = pl.Schema({**RECORDED, "timestamp_ms": pl.Int64()})
#: Candles to publish as corrections, with the timestamp of their record.
CorrectedCandles: TypeAlias = pl.DataFrame

NEWEST_EVENT_TIME: Final = pl.Schema(
    {"source": pl.String(), "symbol": pl.String(), "newest_us": pl.Int64()}
)
#: The newest event time of each series.
NewestEventTimes: TypeAlias = pl.DataFrame

RECORDED_SERIES: Final = pl.Schema({**NEWEST_EVENT_TIME, "read_us": pl.Int64()})
#: The newest event time of each series, and when it was read; null if the series has no month.
RecordedSeries: TypeAlias = pl.DataFrame


@dataclass(frozen=True, slots=True)
class PartitionTime:
    """The partition clock, as of the committed offset and now.

    `now_us` is None while the engine withholds months: nothing tells when a series was read.
    """

    committed_us: int
    now_us: int | None


@dataclass(frozen=True, slots=True)
class Correction:
    """Candles to publish and keys to delete."""

    candles: CorrectedCandles
    tombstones: CandleKeys
    #: The candles that the engine must read at a restart.
    needed: CorrectedCandles
    #: The smallest largest event time of the series that are dormant without these records.
    woken_us: int | None = None

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
        return replace(self, candles=candles, tombstones=tombstones, needed=needed)


def compute_correction(
    expected: ExpectedCandles,
    keys: CandleKeys,
    records: NewestRecords,
    table: RecordedCandles,
    series: RecordedSeries,
    time: PartitionTime,
    rules: FinalityRules,
) -> Correction:
    """Compute the records that make the candles of `keys` as expected.

    `records` and `table` have the keys' rows in topics and tables. `rules` are the engine's.
    """
    candles = expected.join(keys, on=EXPECTED_KEY, how="semi")
    removed = keys.join(expected, on=EXPECTED_KEY, how="anti")
    topic_state = records.filter(pl.col("volume").is_not_null()).select(
        *EXPECTED_KEY, "is_final", "revision", "timestamp_ms"
    )
    table_state = table.select(*EXPECTED_KEY, in_table="is_final", table_revision="revision")
    end_us, series_us = pl.col("end_us"), pl.col("series_us")
    now_final = is_final(end_us, _watermark_us(time, rules), pl.col("is_final"), pl.col("in_table"))
    last_revision = pl.max_horizontal("revision", "table_revision").fill_null(0)
    corrected = (
        candles.join(topic_state, on=EXPECTED_KEY, how="left")
        .join(table_state, on=EXPECTED_KEY, how="left")
        .join(series.rename({"newest_us": "series_us"}), on=NAMES, how="left")
        .with_columns(is_final=now_final)
        .with_columns(is_needed=rules.may_change(pl.col("is_final"), end_us, series_us))
        .with_columns(
            timestamp_ms=pl.when(pl.col("interval") == CLOCK.code)
            .then(_month_ms(time, rules))
            .otherwise(_timestamp_ms(time)),
            revision=pl.when("is_final").then(last_revision + 1).otherwise(0).cast(pl.Int32),
        )
    )
    columns = CORRECTED.names()
    needed = corrected.filter("is_needed")
    return Correction(
        corrected.select(columns),
        removed.select(EXPECTED_KEY),
        needed.select(columns),
        _woken_us(corrected, rules.active_from_us(time.committed_us)),
    )


def _watermark_us(time: PartitionTime, rules: FinalityRules) -> pl.Expr:
    """The watermark of a candle's series (columns series_us, read_us)."""
    if time.now_us is None:
        return rules.watermark_us(pl.col("series_us"))
    return rules.recorded_watermark_us(pl.col("series_us"), pl.col("read_us"), time.now_us)


def _timestamp_ms(time: PartitionTime) -> pl.Expr:
    """The timestamp of a record; it stays if the candle has one already.

    Candles that a restart does not need get an earlier timestamp than those it does.
    """
    clock_us = max(time.committed_us, time.now_us or 0)
    new_ms = pl.when("is_needed").then(clock_us // 1000).otherwise(time.committed_us // 1000 - 1)
    return pl.coalesce("timestamp_ms", new_ms)


def _month_ms(time: PartitionTime, rules: FinalityRules) -> pl.Expr:
    """The timestamp of a month's record: when the newest tick of its series was read.

    From it, a restarted engine knows how long the series has been idle. If unknown, the series
    counts as dormant: its candles are read when its next tick arrives.
    """
    dormant_ms = rules.active_from_us(time.committed_us) // 1000 - 1
    if time.now_us is None:
        return pl.coalesce("timestamp_ms", dormant_ms)
    return pl.max_horizontal(
        pl.col("read_us") // 1000,
        pl.min_horizontal("series_us", pl.lit(time.now_us)) // 1000,
        # Retention deletes older records, and after that long every candle of a series is over.
        (time.committed_us - CLOCK.longest_us) // 1000,
    )


def _woken_us(corrected: pl.DataFrame, active_from_us: int) -> int | None:
    """The smallest largest event time of the series whose months make them active again."""
    is_woken = (pl.col("read_us") < active_from_us) & (
        pl.col("timestamp_ms") * 1000 >= active_from_us
    )
    months = corrected.filter((pl.col("interval") == CLOCK.code) & is_woken)
    smallest_us = months["series_us"].min()
    return None if smallest_us is None else int(str(smallest_us))


def newest_event_times(months: ExpectedCandles) -> NewestEventTimes:
    """The newest event times of series, from candles with the newest ticks."""
    return months.group_by(NAMES).agg(newest_us=order_key_us(pl.col("close_order_key").max()))


def recorded_series(
    published: TopicCandles, expected: ExpectedCandles, loaded: NewestEventTimes | None
) -> RecordedSeries:
    """The series of published months, of expected candles, and of loaded ticks."""
    months = without_tombstones(published).filter(pl.col("interval") == CLOCK.code)
    newest = newest_event_times(pl.concat([months.select(EXPECTED.names()), expected]))
    if loaded is not None:
        newest = pl.concat([newest, loaded]).group_by(NAMES).agg(pl.col("newest_us").max())
    read = months.group_by(NAMES).agg(read_us=pl.col("timestamp_ms").max() * 1000)
    return newest.join(read, on=NAMES, how="left").select(RECORDED_SERIES.names())


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


def woken_metadata(
    metadata: OffsetMetadata, records_from_us: Callable[[int], int], recall_from: int | None
) -> OffsetMetadata:
    """Offset metadata from which a restart also reads the records of series that were dormant.

    `records_from_us` gives the earliest timestamp by the length of the candles, and ticks are read
    from the offset `recall_from`.
    """
    candles_from = {
        code: max(0, min(from_ms, records_from_us(BY_CODE[code].longest_us) // 1000))
        for code, from_ms in metadata.candlesFrom.items()
    }
    recalled = metadata.recallFrom if recall_from is None else recall_from
    return replace(
        metadata, candlesFrom=candles_from, recallFrom=min(metadata.recallFrom, recalled)
    )
