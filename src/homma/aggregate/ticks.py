"""Tick records to valid ticks and the others."""

import polars as pl

from homma.core import tick
from homma.topics import codec
from homma.topics.kafka.reading import Message


def valid_ticks(messages: list[Message], max_future_us: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The valid ticks among records, and the others (columns row and error)."""
    frame = codec.ticks_from([m.value() for m in messages]).with_columns(
        offset=pl.Series([m.offset() for m in messages], dtype=pl.Int64),
        timestamp_us=pl.Series([m.timestamp()[1] * 1000 for m in messages], dtype=pl.Int64),
        row=pl.int_range(len(messages), dtype=pl.UInt32, eager=True),
    )
    checked = tick.check(frame, max_future_us)
    if checked["error"].null_count() == checked.height:
        return checked, checked.clear().select("row", "error")
    return (
        checked.filter(pl.col("error").is_null()),
        checked.filter(pl.col("error").is_not_null()).select("row", "error"),
    )
