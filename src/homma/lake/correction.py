"""What is to be published so that the topics hold what they must. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from homma.core.candle import order_key_us
from homma.core.compare import wrong_keys
from homma.core.interval import COARSEST, INTERVALS
from homma.core.recompute import EXPECTED, EXPECTED_KEY
from homma.core.series import NAMES
from homma.topics.offset_metadata import OffsetMetadata


@dataclass(frozen=True, slots=True)
class CorrectionRules:
    """When candles are final and how long they may change, microseconds."""

    watermark_delay_us: int = 2_000_000
    allowed_lateness_us: int = 600_000_000


@dataclass(frozen=True, slots=True)
class Correction:
    """Candles to publish (MADE, is_final, revision, timestamp_ms) and keys to take away."""

    write: pl.DataFrame
    tombstones: pl.DataFrame
    #: Candles that a restart of the engine has to read.
    wanted: pl.DataFrame

    @property
    def size(self) -> int:
        """How many records."""
        return self.write.height + self.tombstones.height


def correction(
    truth: pl.DataFrame,
    table_verdicts: pl.DataFrame,
    topic_verdicts: pl.DataFrame,
    records: pl.DataFrame,
    table: pl.DataFrame,
    clocks: pl.DataFrame,
    clock_us: int,
    rules: CorrectionRules,
) -> Correction:
    """The records that mend what is wrong.

    Verdicts are those of `settled`, `records` and `table` what topics and table hold of the keys,
    `clocks` (NAMES, clock_us) the series' event clocks and `clock_us` the partition's.
    """
    wrong = wrong_keys((table_verdicts, topic_verdicts))
    write = truth.join(wrong, on=EXPECTED_KEY, how="semi")
    bury = wrong.join(truth, on=EXPECTED_KEY, how="anti")
    before = records.filter(pl.col("volume").is_not_null()).select(
        *EXPECTED_KEY, "is_final", "revision", "timestamp_ms"
    )
    held = table.select(*EXPECTED_KEY, in_table="is_final", revised="revision")
    # A month's timestamp is its series' newest tick's. Where it is not known the series counts as
    # quiet for long, so that a restart reads its candles when a tick of it comes.
    dormant_ms = (clock_us - rules.allowed_lateness_us) // 1000 - 1
    series_us = pl.col("series_us")
    final = (
        pl.col("is_final").fill_null(value=False)
        | pl.col("in_table").fill_null(value=False)
        | (pl.col("end_us") <= series_us - rules.watermark_delay_us).fill_null(value=False)
    )
    last = pl.max_horizontal("revision", "revised").fill_null(0)
    changeable = (pl.col("end_us") > series_us - rules.allowed_lateness_us).fill_null(value=True)
    # What a restart need not read is dated before what it must.
    unknown_ms = (
        pl.when(pl.col("interval") == COARSEST)
        .then(dormant_ms)
        .when(pl.col("needed"))
        .then(clock_us // 1000)
        .otherwise(clock_us // 1000 - 1)
    )
    told = (
        write.join(before, on=EXPECTED_KEY, how="left")
        .join(held, on=EXPECTED_KEY, how="left")
        .join(clocks.rename({"clock_us": "series_us"}), on=NAMES, how="left")
        .with_columns(is_final=final)
        .with_columns(needed=~pl.col("is_final") | changeable)
        .with_columns(
            timestamp_ms=pl.coalesce("timestamp_ms", unknown_ms),
            revision=pl.when("is_final").then(last + 1).otherwise(0).cast(pl.Int32),
        )
    )
    columns = (*EXPECTED.names(), "is_final", "revision", "timestamp_ms")
    wanted = told.filter("needed")
    return Correction(told.select(columns), bury.select(EXPECTED_KEY), wanted.select(columns))


def clocks_of(months: pl.DataFrame) -> pl.DataFrame:
    """The event clocks of series (NAMES, clock_us), by candles that hold their newest ticks."""
    return months.group_by(NAMES).agg(clock_us=order_key_us(pl.col("close_order_key").max()))


def marked(mark: OffsetMetadata, offset: int, wanted: pl.DataFrame) -> OffsetMetadata:
    """The mark beside the same offset, so that a restart reads what was published."""
    oldest: Mapping[int, int] = dict(
        wanted.group_by("interval").agg(pl.col("timestamp_ms").min()).iter_rows()
    )
    from_ms: Sequence[int] = [
        min(at, oldest.get(code, at)) for code, at in enumerate(mark.candlesFrom)
    ]
    assert len(from_ms) == len(INTERVALS)
    return replace(mark, lastTicksBefore=offset, candlesFrom=tuple(from_ms))
