"""Restores a partition's window from the topics: at assignment, and when a dormant series wakes.

At assignment the month topic is read completely: it has every series and its largest event time.
The other candle topics are read from the points given by the offset metadata. That covers all open
candles and every candle that a tick of an active series may still correct. A series without recent
ticks is **dormant**: its correctable candles may be weeks back in the topics, so they are read only
when the series has a new tick.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from homma.core.interval import BY_CODE, CLOCK, MINUTE_US, Interval
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.core.window import Window, WindowRules
from homma.errors import StateError
from homma.failpoint import OnStep, Step
from homma.topics import codec
from homma.topics.contract import Topics
from homma.topics.formats import format_of_headers
from homma.topics.kafka.reading import Committed, Message, Range, Reader
from homma.topics.offset_metadata import RUN, TICKS_BEFORE, OffsetMetadata, read_offset_metadata
from homma.topics.ticks import parse_ticks

# An open transaction ends within its timeout of 10 s; then records become readable again.
_IDLE_S: Final = 30.0
_REBUILD: Final = "start with --rebuild to build all candles again from the ticks in the topic"


@dataclass(frozen=True, slots=True)
class RestoreContext:
    """The partition to restore, where to read its state, and the rules for its window."""

    reader: Reader
    topics: Topics
    partition: int
    rules: WindowRules
    max_future_us: int
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


#: Dormant series (source, symbol) and the input offset that all their ticks are before.
Dormant = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class RestoredState:
    """The state from which a partition continues."""

    window: Window
    offset: int
    clock_us: int
    run: str
    #: By interval: the offset in the candle partition at which the run began.
    run_starts: Mapping[str, int]
    dormant: Dormant
    #: Whether the committed metadata has the intervals that are chosen now.
    has_chosen_intervals: bool = True


def first_run(context: RestoreContext, run: str) -> RestoredState:
    """A first run, from the oldest tick in the topic. Raises StateError if candles exist."""
    ranges = _candle_ranges(context)
    for code, records in _records(context, ranges):
        raise StateError(
            f"{context.topics.candles[code]} partition {context.partition} has at least "
            f"{len(records)} candles, but the group has no committed offset for the ticks: the "
            f"group was reset, or {context.topics.ticks} was deleted and created again",
            "use the --group that wrote the candles or another --candle-topic, or start with "
            "--rebuild",
        )
    return _new_run(context, context.rules, run, ranges)


def start_rebuild(context: RestoreContext, run: str) -> RestoredState:
    """A new run from the oldest tick in the topic, whatever candles and offsets exist.

    If older ticks were deleted, candles that start before the oldest remaining tick would lack
    them, so the new run does not publish those.
    """
    ranges = _candle_ranges(context)
    rules = context.rules
    if any(span.start < span.end for span in ranges.values()):
        complete_us = _complete_from_us(context)
        if complete_us > BEFORE_ALL_US:
            rules = replace(rules, publish_from_us=dict.fromkeys(ranges, complete_us))
    return _new_run(context, rules, run, ranges)


def _new_run(
    context: RestoreContext, rules: WindowRules, run: str, candle_ranges: Mapping[str, Range]
) -> RestoredState:
    return RestoredState(
        window=Window(rules),
        offset=_tick_range(context).start,
        clock_us=0,
        run=run,
        run_starts={code: span.end for code, span in candle_ranges.items()},
        dormant={},
    )


def incomplete_candles(publish_from_us: Mapping[str, int]) -> list[tuple[str, int]]:
    """The candles a rebuild cannot build completely: interval code and start in microseconds."""
    starts = [
        (code, int(pl.select(BY_CODE[code].floor(pl.lit(from_us, pl.Int64))).item()), from_us)
        for code, from_us in publish_from_us.items()
    ]
    return [(code, start_us) for code, start_us, from_us in starts if start_us < from_us]


def restore_committed(context: RestoreContext, committed: Committed) -> RestoredState:
    """The state as of a committed offset. Raises StateError if offset and candles do not match."""
    metadata = read_offset_metadata(committed.metadata, context.where)
    ticks = _tick_range(context)
    _check(context, metadata, committed, ticks)
    run_starts = _run_starts(context, metadata)
    ranges = {
        code: _range_from(
            context,
            code,
            0 if code == CLOCK.code else metadata.candlesFrom.get(code, 0),
            run_start,
        )
        for code, run_start in run_starts.items()
    }
    candles = _candles(context, ranges, metadata.run, committed.offset)
    context.on_step(Step.CANDLES_READ)
    window = Window(context.rules, clock_us=metadata.clock).restore_candles(candles)
    publish_from_us = _publish_from_us(window, metadata, run_starts)
    window = replace(window, rules=replace(context.rules, publish_from_us=publish_from_us))
    dormant = _dormant(candles, metadata.clock - context.rules.allowed_lateness_us)
    recalled = Range(max(metadata.recallFrom, ticks.start), committed.offset)
    for batch in _ticks(context, recalled):
        window = window.restore_identities(batch)
    context.on_step(Step.TICKS_RECALLED)
    return RestoredState(
        window,
        committed.offset,
        metadata.clock,
        metadata.run,
        run_starts,
        dormant,
        has_chosen_intervals=metadata.intervals == context.rules.calendar.codes,
    )


def _run_starts(context: RestoreContext, metadata: OffsetMetadata) -> dict[str, int]:
    """By interval: where the run begins in its topic. That is the end for a new interval."""
    return {
        interval.code: metadata.began[interval.code]
        if interval.code in metadata.began
        else _candle_range(context, interval.code).end
        for interval in context.intervals
    }


def _publish_from_us(
    window: Window, metadata: OffsetMetadata, run_starts: Mapping[str, int]
) -> dict[str, int]:
    """By interval: the start of the first candle that is published.

    Candles of a new interval lack the ticks that were counted before the interval was chosen. No
    such tick is later than the largest event time of all series.
    """
    largest_us = window.series["max_event_us"].max()
    new_from_us = (
        {}
        if largest_us is None
        else dict.fromkeys(
            (code for code in run_starts if code not in metadata.began), int(str(largest_us)) + 1
        )
    )
    begin = {code: us for code, us in metadata.begin.items() if code in run_starts}
    return begin | new_from_us


def restore_dormant(
    context: RestoreContext,
    window: Window,
    waking: Dormant,
    run: str,
    run_starts: Mapping[str, int],
) -> Window:
    """The window with the candles and identities of series that were dormant.

    A tick's dateTime is at most `max_future` after its Kafka timestamp, and a candle's timestamp
    is the partition clock. So none of these records has a timestamp much before the largest event
    time of the series. Lateness counts from the end of the minute, so a candle of some seconds may
    be almost a minute older.
    """
    names = pl.DataFrame(list(waking), schema=dict.fromkeys(NAMES, pl.String()), orient="row")
    series = names.join(window.series, on=NAMES, how="left")
    oldest_us = int(series.select(pl.col("max_event_us").min()).item()) - context.max_future_us
    oldest_us -= context.rules.allowed_lateness_us
    ranges = {
        interval.code: _range_from(
            context,
            interval.code,
            (oldest_us - max(interval.longest_us, MINUTE_US)) // 1000,
            run_starts[interval.code],
        )
        for interval in context.intervals
        # Months were restored at assignment, and their timestamps are not the partition clock.
        if interval is not CLOCK
    }
    candles = _candles(context, ranges, run, None).join(names, on=NAMES, how="semi")
    context.on_step(Step.WAKING_CANDLES_READ)
    window = window.restore_candles(candles)
    ticks = _tick_range(context)
    first = context.reader.offset_for_time(
        context.topics.ticks, context.partition, max(0, (oldest_us - MINUTE_US) // 1000)
    )
    recalled = Range(ticks.start if first is None else first, min(max(waking.values()), ticks.end))
    for batch in _ticks(context, recalled):
        window = window.restore_identities(batch.join(names, on=NAMES, how="semi"))
    context.on_step(Step.AWAKE)
    return _drop_incomplete(window, series, candles)


def _drop_incomplete(window: Window, series: pl.DataFrame, candles: pl.DataFrame) -> Window:
    """Drop ticks as late if retention may have deleted a candle that they would change."""
    for row in series.iter_rows(named=True):
        restored = candles.filter(
            (pl.col("source") == row["source"])
            & (pl.col("symbol") == row["symbol"])
            & (pl.col("end_us") > row["max_event_us"])
        )
        codes = {*restored["interval"].to_list(), CLOCK.code}
        at = pl.select(pl.lit(row["max_event_us"], pl.Int64).alias("at"))
        for interval in window.rules.calendar.aggregated:
            start = interval.floor(pl.col("at"))
            start_us, end_us = at.select(start.alias("s"), interval.next(start).alias("e")).row(0)
            published_from_us = window.rules.publish_from_us.get(interval.code, BEFORE_ALL_US)
            if interval.code not in codes and start_us >= published_from_us:
                window = window.raise_floor(row["source"], row["symbol"], int(end_us))
    return window


def _check(
    context: RestoreContext, metadata: OffsetMetadata, committed: Committed, ticks: Range
) -> None:
    """Raise StateError if a committed offset does not match the ticks or the settings."""
    is_same_topic = metadata.topicId == context.topic_id
    check_offset(
        context.where,
        committed.offset,
        metadata.lastTicksBefore,
        ticks,
        is_same_topic,
        _REBUILD,
    )
    if metadata.price != context.rules.price:
        raise StateError(
            f"the candles are built from {metadata.price}, but --price is {context.rules.price}",
            f"use --price {metadata.price}, or other topics and another --group, or {_REBUILD}",
        )
    if (metadata.prices, metadata.dayStarts) != ("positive", "00:00 UTC"):
        raise StateError(
            f"the candles of {context.where} have prices {metadata.prices} and days that start at "
            f"{metadata.dayStarts}, which this homma cannot aggregate",
            "upgrade this homma",
        )


def check_offset(
    where: str, committed: int, expected: int, ticks: Range, is_same_topic: bool, remedy: str
) -> None:
    """Raise StateError if a committed offset does not match the ticks in the topic.

    `expected` is the offset in the metadata, `ticks` the offsets that the partition still has.
    """
    if expected != committed:
        raise StateError(
            f"the committed offset of {where} is {committed}, but the candles already include "
            f"the ticks before offset {expected}",
            f"set the offset back to {expected}, or {remedy}",
        )
    if not is_same_topic or committed > ticks.end:
        raise StateError(f"the topic of {where} was deleted and created again", remedy)
    if committed < ticks.start:
        raise StateError(
            f"{ticks.start - committed} ticks of {where} were deleted by retention before they "
            "were read",
            f"raise --tick-retention, and {remedy}",
        )


def _tick_range(context: RestoreContext) -> Range:
    return context.reader.offset_range(context.topics.ticks, context.partition)


def _candle_range(context: RestoreContext, code: str) -> Range:
    return context.reader.offset_range(context.topics.candles[code], context.partition)


def _candle_ranges(context: RestoreContext) -> dict[str, Range]:
    return {i.code: _candle_range(context, i.code) for i in context.intervals}


def _range_from(context: RestoreContext, code: str, timestamp_ms: int, run_start: int) -> Range:
    """The candle records of an interval from a timestamp on, of this run only."""
    topic = context.topics.candles[code]
    offsets = _candle_range(context, code)
    first: int | None = offsets.start
    if timestamp_ms > 0:
        first = context.reader.offset_for_time(topic, context.partition, timestamp_ms)
    start = offsets.end if first is None else first
    return Range(max(start, run_start, offsets.start), offsets.end)


def _records(
    context: RestoreContext, ranges: Mapping[str, Range]
) -> Iterable[tuple[str, list[Message]]]:
    """Records by interval, in offset order."""
    codes = {topic: code for code, topic in context.topics.candles.items()}
    by_name = {context.topics.candles[code]: span for code, span in ranges.items()}
    for batch in context.reader.read(context.partition, by_name, _IDLE_S):
        by_topic: dict[str, list[Message]] = {}
        for message in batch:
            by_topic.setdefault(str(message.topic()), []).append(message)
        for topic, messages in by_topic.items():
            yield codes[topic], messages


def _candles(
    context: RestoreContext, ranges: Mapping[str, Range], run: str, offset: int | None
) -> pl.DataFrame:
    """The newest candle of each key (the columns of `Window.restore_candles`, ticks_before)."""
    frames: list[pl.DataFrame] = []
    for code, messages in _records(context, ranges):
        frames.append(_frame(context, code, messages, run, offset))
    if not frames:
        return _frame(context, CLOCK.code, [], run, offset)
    newest = pl.concat(frames).unique(
        (*NAMES, "interval", "start_us"), keep="last", maintain_order=True
    )
    return newest.filter(pl.col("volume").is_not_null())


def _frame(
    context: RestoreContext, code: str, messages: list[Message], run: str, offset: int | None
) -> pl.DataFrame:
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
                f"stop the other engine, or {_REBUILD}",
            )
        before.append(int(headers.get(TICKS_BEFORE) or 0))
    if offset is not None and before and max(before) > offset:
        raise StateError(
            f"{topic} partition {context.partition} has candles with ticks before offset "
            f"{max(before)}, but the group's committed offset is {offset}",
            _REBUILD,
        )
    # The key of a tombstone is parsed as a candle, whose other fields are null.
    values = [message.value() or message.key() or b"{}" for message in messages]
    return codec.decode_candles(values, BY_CODE[code]).with_columns(
        published_us=pl.Series([m.timestamp()[1] * 1000 for m in messages], dtype=pl.Int64),
        ticks_before=pl.Series(before, dtype=pl.Int64),
    )


def _dormant(candles: pl.DataFrame, since_us: int) -> dict[tuple[str, str], int]:
    """The series without a tick since then, decided as in `Window.active_series`."""
    months = (
        candles.filter(pl.col("interval") == CLOCK.code)
        .group_by(NAMES)
        .agg(pl.col("published_us").max(), pl.col("ticks_before").max())
    )
    dormant = months.filter(pl.col("published_us") < since_us)
    return {(source, symbol): before for source, symbol, _, before in dormant.iter_rows()}


def _ticks(context: RestoreContext, span: Range) -> Iterable[pl.DataFrame]:
    """The valid ticks of a range, parsed exactly as when they were first read."""
    return _valid_ticks(context, context.topics.ticks, context.partition, span)


def _valid_ticks(
    context: RestoreContext, topic: str, partition: int, span: Range
) -> Iterable[pl.DataFrame]:
    for batch in context.reader.read(partition, {topic: span}, _IDLE_S):
        yield parse_ticks({partition: batch}, context.max_future_us)[partition].valid


def _complete_from_us(context: RestoreContext) -> int:
    """The event time from which no tick was deleted; BEFORE_ALL_US if none was deleted at all."""
    complete_us = BEFORE_ALL_US
    for topic, partition in context.tick_partitions:
        offsets = context.reader.offset_range(topic, partition)
        if offsets.start > 0:
            first_us = _first_event_us(_valid_ticks(context, topic, partition, offsets))
            complete_us = max(complete_us, first_us)
    return complete_us


def _first_event_us(batches: Iterable[pl.DataFrame]) -> int:
    """The event time of the first valid tick; BEFORE_ALL_US if there is none."""
    for batch in batches:
        if not batch.is_empty():
            return int(batch["event_us"][0])
    return BEFORE_ALL_US
