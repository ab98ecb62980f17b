"""Parse batches of tick records and separate valid ticks from invalid ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl

from homma.core import tick
from homma.core.tick import VALID, TickRules, ValidTicks
from homma.topics import codec
from homma.topics.kafka.reading import Message

DEAD_LETTER: Final = pl.Schema({name: VALID[name] for name in ("row", "error")})
#: The invalid records of a batch: the index in the batch, and why the record is invalid.
DeadLetters: TypeAlias = pl.DataFrame


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """The parsed records of one partition: at least one, in offset order.

    A `row` is an index in `messages`. `valid` are the applicable ticks, and `not_applicable` is the
    number of the other ones. `newest_us` is the largest Kafka timestamp of the batch.
    """

    messages: list[Message]
    valid: ValidTicks
    bad: DeadLetters
    not_applicable: int
    newest_us: int

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return (self.messages[-1].offset() or 0) + 1


def parse_ticks(batches: Mapping[int, list[Message]], rules: TickRules) -> dict[int, ParsedBatch]:
    """Parse and check non-empty batches by partition, all at once because that is faster."""
    messages = [message for batch in batches.values() for message in batch]
    if not messages:
        return {}
    rows = [pl.int_range(len(batch), dtype=pl.UInt32, eager=True) for batch in batches.values()]
    frame = codec.decode_ticks([m.value() for m in messages], rules.prices).with_columns(
        offset=pl.Series([m.offset() for m in messages], dtype=pl.Int64),
        timestamp_us=pl.Series([m.timestamp()[1] for m in messages], dtype=pl.Int64) * 1000,
        row=pl.concat(rows),
    )
    checked = tick.check(frame, rules)
    all_valid = not checked["error"].is_not_null().any()
    parsed: dict[int, ParsedBatch] = {}
    first = 0
    for number, batch in batches.items():
        ticks = checked.slice(first, len(batch))
        first += len(batch)
        is_bad = ticks["error"].is_not_null()
        valid = ticks if all_valid else ticks.filter(~is_bad)
        applicable = tick.applicable(valid, rules.price)
        parsed[number] = ParsedBatch(
            messages=batch,
            valid=applicable,
            bad=(ticks.clear() if all_valid else ticks.filter(is_bad)).select("row", "error"),
            not_applicable=valid.height - applicable.height,
            newest_us=int(ticks["timestamp_us"].max()),  # type: ignore[arg-type]
        )
    return parsed
