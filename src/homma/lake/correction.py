"""What is to be published so that the topics hold what they must. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from homma.core.candle import place_us
from homma.core.compare import wrong_keys
from homma.core.interval import COARSEST, INTERVALS
from homma.core.recompute import MADE, MADE_KEY
from homma.core.series import NAMES
from homma.topics.mark import Mark


@dataclass(frozen=True, slots=True)
class Rules:
    """When candles are final and how long they may change, microseconds."""

    lateness_us: int = 2_000_000
    correct_for_us: int = 600_000_000


@dataclass(frozen=True, slots=True)
class Correction:
    """Candles to publish (MADE, is_final, revision, timestamp_ms) and keys to take away."""

    write: pl.DataFrame
    bury: pl.DataFrame
    #: Candles that a restart of the engine has to read.
    wanted: pl.DataFrame

    @property
    def size(self) -> int:
        """How many records."""
        return self.write.height + self.bury.height


def correction(
    truth: pl.DataFrame,
    table_verdicts: pl.DataFrame,
    topic_verdicts: pl.DataFrame,
    records: pl.DataFrame,
    table: pl.DataFrame,
    clocks: pl.DataFrame,
    clock_us: int,
    rules: Rules,
) -> Correction:
    """The records that mend what is wrong.

    Verdicts are those of `settled`, `records` and `table` what topics and table hold of the keys,
    `clocks` (NAMES, clock_us) the series' event clocks and `clock_us` the partition's.
    """
    wrong = wrong_keys((table_verdicts, topic_verdicts))
    write = truth.join(wrong, on=MADE_KEY, how="semi")
    bury = wrong.join(truth, on=MADE_KEY, how="anti")
    before = records.filter(pl.col("volume").is_not_null()).select(
        *MADE_KEY, "is_final", "revision", "timestamp_ms"
    )
    held = table.select(*MADE_KEY, in_table="is_final", revised="revision")
    # A month's timestamp is its series' newest tick's. Where it is not known the series counts as
    # quiet for long, so that a restart reads its candles when a tick of it comes.
    dormant_ms = (clock_us - rules.correct_for_us) // 1000 - 1
    series_us = pl.col("series_us")
    final = (
        pl.col("is_final").fill_null(value=False)
        | pl.col("in_table").fill_null(value=False)
        | (pl.col("end_us") <= series_us - rules.lateness_us).fill_null(value=False)
    )
    last = pl.max_horizontal("revision", "revised").fill_null(0)
    changeable = (pl.col("end_us") > series_us - rules.correct_for_us).fill_null(value=True)
    # What a restart need not read is dated before what it must.
    unknown_ms = (
        pl.when(pl.col("interval") == COARSEST).then(dormant_ms)
        .when(pl.col("needed")).then(clock_us // 1000)
        .otherwise(clock_us // 1000 - 1)
    )  # fmt: skip
    told = (
        write.join(before, on=MADE_KEY, how="left")
        .join(held, on=MADE_KEY, how="left")
        .join(clocks.rename({"clock_us": "series_us"}), on=NAMES, how="left")
        .with_columns(is_final=final)
        .with_columns(needed=~pl.col("is_final") | changeable)
        .with_columns(
            timestamp_ms=pl.coalesce("timestamp_ms", unknown_ms),
            revision=pl.when("is_final").then(last + 1).otherwise(0).cast(pl.Int32),
        )
    )
    columns = (*MADE.names(), "is_final", "revision", "timestamp_ms")
    wanted = told.filter("needed")
    return Correction(told.select(columns), bury.select(MADE_KEY), wanted.select(columns))


def clocks_of(months: pl.DataFrame) -> pl.DataFrame:
    """The event clocks of series (NAMES, clock_us), by candles that hold their newest ticks."""
    return months.group_by(NAMES).agg(clock_us=place_us(pl.col("close_place").max()))


def marked(mark: Mark, offset: int, wanted: pl.DataFrame) -> Mark:
    """The mark beside the same offset, so that a restart reads what was published."""
    oldest: Mapping[int, int] = dict(
        wanted.group_by("interval").agg(pl.col("timestamp_ms").min()).iter_rows()
    )
    from_ms: Sequence[int] = [
        min(at, oldest.get(code, at)) for code, at in enumerate(mark.candlesFrom)
    ]
    assert len(from_ms) == len(INTERVALS)
    return replace(mark, lastTicksBefore=offset, candlesFrom=tuple(from_ms))
