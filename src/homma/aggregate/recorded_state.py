"""Reads a partition's candles and ticks back from the topics, for `restore.py`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.interval import BY_CODE, CLOCK, Interval
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.core.tick import TickRules, ValidTicks
from homma.core.window import RestoredCandles, WindowRules
from homma.errors import StateError
from homma.failpoint import OnStep
from homma.formats import format_of_headers
from homma.topics import codec, precedence
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Message, Range, Reader
from homma.topics.offset_metadata import RUN, TICKS_BEFORE
from homma.topics.ticks import parse_ticks

REBUILD: Final = "start with --rebuild to build all candles again from the ticks in the topic"


@dataclass(frozen=True, slots=True)
class RestoreContext:
    """The partition to restore, where to read its state, and the rules for its window."""

    reader: Reader
    topics: Topics
    partition: int
    rules: WindowRules
    tick_rules: TickRules
    topic_id: str
    #: Every (topic, partition) that the ticks come through, this partition included.
    tick_partitions: tuple[tuple[str, int], ...]
    #: Whether the ticks were rekeyed (aggregate/rekey.py).
    is_rekeyed: bool
    on_step: OnStep

    @property
    def where(self) -> str:
        """The partition, for error messages."""
        return f"{self.topics.ticks} partition {self.partition}"

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The intervals whose candles the partition has."""
        return self.rules.calendar.aggregated


def tick_range(context: RestoreContext) -> Range:
    """The offsets that the tick partition has."""
    return context.reader.offset_range(context.topics.ticks, context.partition)


def candle_range(context: RestoreContext, code: str) -> Range:
    """The offsets that the candle partition of an interval has."""
    return context.reader.offset_range(context.topics.candles[code], context.partition)


def candle_ranges(context: RestoreContext) -> dict[str, Range]:
    """By interval: the offsets that its candle partition has."""
    return {i.code: candle_range(context, i.code) for i in context.intervals}


def candle_range_from(
    context: RestoreContext, code: str, timestamp_ms: int, run_start: int
) -> Range:
    """The candle records of an interval from a timestamp on, of this run only."""
    topic = context.topics.candles[code]
    offsets = candle_range(context, code)
    first: int | None = offsets.start
    if timestamp_ms > 0:
        first = context.reader.offset_for_time(topic, context.partition, timestamp_ms)
    start = offsets.end if first is None else first
    return Range(max(start, run_start, offsets.start), offsets.end)


def read_records(
    context: RestoreContext, ranges: Mapping[str, Range]
) -> Iterable[tuple[str, list[Message]]]:
    """Records by interval, in offset order."""
    codes = {topic: code for code, topic in context.topics.candles.items()}
    by_name = {context.topics.candles[code]: span for code, span in ranges.items()}
    for batch in context.reader.read(context.partition, by_name):
        by_topic: dict[str, list[Message]] = {}
        for message in batch:
            by_topic.setdefault(str(message.topic()), []).append(message)
        for topic, messages in by_topic.items():
            yield codes[topic], messages


def read_candles(
    context: RestoreContext, ranges: Mapping[str, Range], run: str, offset: int | None
) -> RestoredCandles:
    """The newest candle of each key, with `ticks_before` of its record."""
    frames: list[RestoredCandles] = []
    for code, messages in read_records(context, ranges):
        frames.append(_frame(context, code, messages, run, offset))
    if not frames:
        return _frame(context, CLOCK.code, [], run, offset)
    newest = precedence.newest_of_partition(pl.concat(frames), (*NAMES, "interval", "start_us"))
    return precedence.without_tombstones(newest)


def _frame(
    context: RestoreContext, code: str, messages: list[Message], run: str, offset: int | None
) -> RestoredCandles:
    """The candles of records of one interval; the volume of a tombstone is null."""
    topic = context.topics.candles[code]
    before: list[int] = []
    for message in messages:
        headers = dict(message.headers() or ())
        format_of_headers(headers, f"a candle in {topic} partition {context.partition}")
        if headers.get(RUN) != run.encode():
            raise StateError(
                f"{topic} partition {context.partition} has candles of another run or engine "
                f"(offset {message.offset()})",
                f"stop the other engine, or {REBUILD}",
            )
        before.append(int(headers.get(TICKS_BEFORE) or 0))
    if offset is not None and before and max(before) > offset:
        raise StateError(
            f"{topic} partition {context.partition} has candles with ticks before offset "
            f"{max(before)}, but the group's committed offset is {offset}",
            REBUILD,
        )
    # The key of a tombstone is parsed as a candle, whose other fields are null.
    values = [message.value() or message.key() or b"{}" for message in messages]
    return codec.decode_candles(values, BY_CODE[code]).with_columns(
        published_us=pl.Series([m.timestamp()[1] * 1000 for m in messages], dtype=pl.Int64),
        ticks_before=pl.Series(before, dtype=pl.Int64),
    )


def read_ticks(context: RestoreContext, span: Range) -> Iterable[ValidTicks]:
    """The valid ticks of a range, parsed exactly as when they were first read."""
    return _valid_ticks(context, context.topics.ticks, context.partition, span)


def _valid_ticks(
    context: RestoreContext, topic: str, partition: int, span: Range
) -> Iterable[ValidTicks]:
    for batch in context.reader.read(partition, {topic: span}):
        yield parse_ticks({partition: batch}, context.tick_rules)[partition].valid


def complete_from_us(context: RestoreContext) -> int:
    """The event time from which no tick was deleted; BEFORE_ALL_US if none was deleted at all."""
    complete_us = BEFORE_ALL_US
    for topic, partition in context.tick_partitions:
        offsets = context.reader.offset_range(topic, partition)
        if offsets.start > 0:
            first_us = _first_event_us(_valid_ticks(context, topic, partition, offsets))
            complete_us = max(complete_us, first_us)
    return complete_us


def _first_event_us(batches: Iterable[ValidTicks]) -> int:
    """The event time of the first valid tick; BEFORE_ALL_US if there is none."""
    for batch in batches:
        if not batch.is_empty():
            return int(batch["event_us"][0])
    return BEFORE_ALL_US
