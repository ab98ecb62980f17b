"""Tick records to valid ticks and the others."""

from dataclasses import dataclass

import polars as pl

from homma.core import tick
from homma.topics import codec
from homma.topics.kafka.reading import Message


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch of records, judged.

    `valid` has the columns of the tick, event_us, timestamp_us, offset and row, the place in the
    batch; `bad` has row and error. `newest_us` is the largest Kafka timestamp of all.
    """

    valid: pl.DataFrame
    bad: pl.DataFrame
    newest_us: int


def sort(messages: list[Message], max_future_us: int) -> Sorted:
    """Parse and judge records, at least one."""
    timestamps = pl.Series([m.timestamp()[1] for m in messages], dtype=pl.Int64) * 1000
    frame = codec.ticks_from([m.value() for m in messages]).with_columns(
        offset=pl.Series([m.offset() for m in messages], dtype=pl.Int64),
        timestamp_us=timestamps,
        row=pl.int_range(len(messages), dtype=pl.UInt32, eager=True),
    )
    checked = tick.check(frame, max_future_us)
    newest_us = int(timestamps.max())  # type: ignore[arg-type]
    refused = checked["error"].is_not_null()
    if not refused.any():
        return Sorted(checked, checked.clear().select("row", "error"), newest_us)
    bad = checked.filter(refused).select("row", "error")
    return Sorted(checked.filter(~refused), bad, newest_us)
