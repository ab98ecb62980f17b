"""The candles that ticks in the late topic belong to."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.core.recompute import EventSpan
from homma.core.series import NAMES
from homma.core.tick import instant_us
from homma.topics import codec
from homma.topics.kafka.reading import Reader

_PATIENCE_S: Final = 30.0


def late_keys(reader: Reader, topic: str, partitions: int) -> pl.DataFrame:
    """Their keys (MADE_KEY), in all intervals."""
    ticks = pl.concat([_minutes([]), *_read(reader, topic, partitions)]).unique()
    return pl.concat(
        ticks.select(
            *NAMES,
            pl.lit(code, pl.UInt8).alias("interval"),
            interval.floor(pl.col("event_us")).alias("start_us"),
        )
        for code, interval in enumerate(INTERVALS)
    ).unique()


def _read(reader: Reader, topic: str, partitions: int) -> Iterator[pl.DataFrame]:
    for partition in range(partitions):
        kept = reader.kept(topic, partition)
        for batch in reader.read(partition, {topic: kept}, _PATIENCE_S):
            yield _minutes([message.value() for message in batch])


def _minutes(values: list[bytes | None]) -> pl.DataFrame:
    event = instant_us(pl.col("dateTime"))
    return codec.ticks_from(values).select(*NAMES, event_us=INTERVALS[0].floor(event)).drop_nulls()


def span_of(keys: pl.DataFrame) -> EventSpan | None:
    """The range that all keys start in; None where there are none."""
    if keys.is_empty():
        return None
    low, high = keys.select(low=pl.col("start_us").min(), high=pl.col("start_us").max()).row(0)
    return EventSpan(int(low), int(high) + 1)
