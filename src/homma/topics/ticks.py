"""Tick records to valid ticks and the others."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from homma.core import tick
from homma.topics import codec
from homma.topics.kafka.reading import Message


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """Records of one partition, at least one, in the order of their offsets, judged.

    `valid` has the columns of the tick, event_us, timestamp_us, offset and row, the place in
    `messages`; `bad` has row and error. `newest_us` is the largest Kafka timestamp of all.
    """

    messages: list[Message]
    valid: pl.DataFrame
    bad: pl.DataFrame
    newest_us: int

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return (self.messages[-1].offset() or 0) + 1


def parse_ticks(batches: Mapping[int, list[Message]], max_future_us: int) -> dict[int, ParsedBatch]:
    """Parse and judge records by partition, none empty; all at once, as that costs less."""
    messages = [message for batch in batches.values() for message in batch]
    if not messages:
        return {}
    rows = [pl.int_range(len(batch), dtype=pl.UInt32, eager=True) for batch in batches.values()]
    frame = codec.ticks_from([m.value() for m in messages]).with_columns(
        offset=pl.Series([m.offset() for m in messages], dtype=pl.Int64),
        timestamp_us=pl.Series([m.timestamp()[1] for m in messages], dtype=pl.Int64) * 1000,
        row=pl.concat(rows),
    )
    checked = tick.check(frame, max_future_us)
    all_valid = not checked["error"].is_not_null().any()
    found: dict[int, ParsedBatch] = {}
    first = 0
    for number, batch in batches.items():
        its = checked.slice(first, len(batch))
        first += len(batch)
        refused = its["error"].is_not_null()
        found[number] = ParsedBatch(
            messages=batch,
            valid=its if all_valid else its.filter(~refused),
            bad=(its.clear() if all_valid else its.filter(refused)).select("row", "error"),
            newest_us=int(its["timestamp_us"].max()),  # type: ignore[arg-type]
        )
    return found
