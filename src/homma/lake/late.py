"""Keys of the candles that ticks in the late topic belong to."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.core.recompute import EventSpan
from homma.core.series import NAMES
from homma.core.tick import instant_us
from homma.topics import codec
from homma.topics.kafka.reading import Reader

_MAX_SILENCE_S: Final = 30.0


def late_keys(reader: Reader, topic: str, partitions: int) -> pl.DataFrame:
    """Candle keys (EXPECTED_KEY) of the ticks in a late topic, in all intervals."""
    ticks = pl.concat([_tick_minutes([]), *_read(reader, topic, partitions)]).unique()
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
        offsets = reader.offset_range(topic, partition)
        for batch in reader.read(partition, {topic: offsets}, _MAX_SILENCE_S):
            yield _tick_minutes([message.value() for message in batch])


def _tick_minutes(values: list[bytes | None]) -> pl.DataFrame:
    event = instant_us(pl.col("dateTime"))
    return (
        codec.decode_ticks(values).select(*NAMES, event_us=INTERVALS[0].floor(event)).drop_nulls()
    )


def span_of(keys: pl.DataFrame) -> EventSpan | None:
    """The range of the start times of keys; None without keys."""
    if keys.is_empty():
        return None
    low, high = keys.select(low=pl.col("start_us").min(), high=pl.col("start_us").max()).row(0)
    return EventSpan(int(low), int(high) + 1)
