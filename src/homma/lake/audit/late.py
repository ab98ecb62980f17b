"""Keys of the candles that ticks in the late topic belong to."""

from collections.abc import Iterator

import polars as pl

from homma.core.calendar import Calendar
from homma.core.interval import CODE
from homma.core.recompute import CandleKeys, EventSpan
from homma.core.series import NAMES
from homma.core.tick import instant_us
from homma.topics import codec
from homma.topics.kafka.reading import Reader


def late_keys(reader: Reader, topic: str, partitions: int, calendar: Calendar) -> CandleKeys:
    """Candle keys of the ticks in a late topic, in all intervals of a calendar."""
    ticks = pl.concat(
        [_base_starts([], calendar), *_read(reader, topic, partitions, calendar)]
    ).unique()
    return pl.concat(
        ticks.select(
            *NAMES,
            pl.lit(interval.code, CODE).alias("interval"),
            interval.floor(pl.col("event_us")).alias("start_us"),
        )
        for interval in calendar
    ).unique()


def _read(
    reader: Reader, topic: str, partitions: int, calendar: Calendar
) -> Iterator[pl.DataFrame]:
    for partition in range(partitions):
        offsets = reader.offset_range(topic, partition)
        for batch in reader.read(partition, {topic: offsets}):
            yield _base_starts([message.value() for message in batch], calendar)


def _base_starts(values: list[bytes | None], calendar: Calendar) -> pl.DataFrame:
    """The series of ticks and the starts of their intervals of the calendar's base."""
    start = calendar.base.floor(instant_us(pl.col("dateTime")))
    return codec.decode_ticks(values).select(*NAMES, event_us=start).drop_nulls()


def span_of(keys: CandleKeys) -> EventSpan | None:
    """The range of the start times of keys; None without keys."""
    if keys.is_empty():
        return None
    low, high = keys.select(low=pl.col("start_us").min(), high=pl.col("start_us").max()).row(0)
    return EventSpan(int(low), int(high) + 1)
