"""A partition's window out of the topics: at assignment, and when a dormant series wakes.

At assignment the month topic is read whole: it names every series and gives its event clock. The
finer ones are read from where the mark says, which covers all open candles and every candle that
a tick of an active series may still correct. A series that has been quiet is **dormant**: what of
it could still be corrected may lie weeks back, so it is read only when a tick of it turns up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from homma.core.interval import COARSEST, INTERVALS, MINUTE_US
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.core.window import Window, WindowRules
from homma.errors import StateError
from homma.failpoint import Reached, Step
from homma.topics import codec
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Committed, Message, Range, Reader
from homma.topics.offset_metadata import RUN, TICKS_BEFORE, OffsetMetadata, read_offset_metadata
from homma.topics.ticks import parse_ticks

# Nothing readable for so long: an open transaction ends within its timeout of 10 s.
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class RestoreContext:
    """Where a partition's state comes from, and by which rules."""

    reader: Reader
    topics: Topics
    partition: int
    rules: WindowRules
    max_future_us: int
    topic_id: str
    #: Every (topic, partition) that its ticks come through, itself included.
    feeds: tuple[tuple[str, int], ...]
    #: Whether its ticks have been keyed anew (aggregate/rekey.py).
    rekeyed: bool
    reached: Reached

    @property
    def where(self) -> str:
        """The partition in words."""
        return f"{self.topics.ticks} partition {self.partition}"


#: Dormant series (source, symbol) and the input offset before which all their ticks are.
Dormant = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition to go on with."""

    window: Window
    offset: int
    clock_us: int
    run: str
    began: tuple[int, ...]
    dormant: Dormant


def fresh(source: RestoreContext, run: str) -> Restored:
    """A first run, at the oldest tick kept; StateError where there are candles already."""
    kept = _candles_kept(source)
    for code, records in _records(source, dict(enumerate(kept))):
        raise StateError(
            f"{source.topics.candles[code]} partition {source.partition} holds {len(records)} or "
            "more candles, but the group has no committed offset for them (it was reset, "
            f"or {source.topics.ticks} made again)",
            "name the --group that made them, or another --candle-topic, or start with --rebuild",
        )
    return Restored(
        window=Window(source.rules),
        offset=source.reader.kept(source.topics.ticks, source.partition).start,
        clock_us=0,
        run=run,
        began=tuple(span.end for span in kept),
        dormant={},
    )


def rebuilt(source: RestoreContext, run: str) -> Restored:
    """A new run at the oldest tick kept, whatever candles and offsets there are.

    Where older ticks are gone, candles that begin before the oldest tick kept would lack them:
    those are left alone.
    """
    kept = _candles_kept(source)
    rules = source.rules
    if any(span.start < span.end for span in kept):
        rules = replace(rules, begin_us=_complete_from_us(source))
    return Restored(
        window=Window(rules),
        offset=source.reader.kept(source.topics.ticks, source.partition).start,
        clock_us=0,
        run=run,
        began=tuple(span.end for span in kept),
        dormant={},
    )


def left_alone(begin_us: int) -> list[tuple[int, int]]:
    """Which candles a rebuild leaves alone: the place in INTERVALS and the start, microseconds."""
    if begin_us == BEFORE_ALL_US:
        return []
    at = pl.select(pl.lit(begin_us, pl.Int64).alias("at"))
    starts = [int(at.select(interval.floor(pl.col("at"))).item()) for interval in INTERVALS]
    return [(code, start) for code, start in enumerate(starts) if start < begin_us]


def restored(source: RestoreContext, committed: Committed) -> Restored:
    """The state as of a committed offset; StateError where the two don't belong together."""
    mark = read_offset_metadata(committed.metadata, source.where)
    ticks = source.reader.kept(source.topics.ticks, source.partition)
    _check(source, mark, committed, ticks)
    begin_us = BEFORE_ALL_US if mark.begin is None else mark.begin
    window = Window(replace(source.rules, begin_us=begin_us), clock_us=mark.clock)
    spans = {
        code: _since(source, code, 0 if code == COARSEST else mark.candlesFrom[code], mark)
        for code in range(len(INTERVALS))
    }
    candles = _candles(source, spans, mark.run, committed.offset)
    source.reached(Step.CANDLES_READ)
    window = window.restore_candles(candles)
    dormant = _dormant(candles, mark.clock - source.rules.allowed_lateness_us)
    for batch in _ticks(source, Range(max(mark.recallFrom, ticks.start), committed.offset)):
        window = window.restore_identities(batch)
    source.reached(Step.TICKS_RECALLED)
    return Restored(window, committed.offset, mark.clock, mark.run, mark.began, dormant)


def restore_dormant(
    source: RestoreContext, window: Window, waking: Dormant, run: str, began: tuple[int, ...]
) -> Window:
    """The window with all that it may need of series that were dormant.

    A tick's dateTime is at most `max_future` after its Kafka timestamp, and a candle carries the
    partition's clock, so neither can lie further back in Kafka than the event clock says.
    """
    names = pl.DataFrame(list(waking), schema=dict.fromkeys(NAMES, pl.String()), orient="row")
    clocks = names.join(window.series, on=NAMES, how="left")
    oldest_us = int(clocks.select(pl.col("clock_us").min()).item()) - source.max_future_us
    oldest_us -= source.rules.allowed_lateness_us
    spans = {
        code: _after(source, code, (oldest_us - interval.longest_us) // 1000, began[code])
        for code, interval in enumerate(INTERVALS)
        # Its months were taken back at assignment, and their timestamps are not the clock's.
        if code != COARSEST
    }
    found = _candles(source, spans, run, None).join(names, on=NAMES, how="semi")
    source.reached(Step.WAKING_CANDLES_READ)
    window = window.restore_candles(found)
    kept = source.reader.kept(source.topics.ticks, source.partition)
    first = source.reader.since(
        source.topics.ticks, source.partition, max(0, (oldest_us - MINUTE_US) // 1000)
    )
    span = Range(kept.start if first is None else first, min(max(waking.values()), kept.end))
    for batch in _ticks(source, span):
        window = window.restore_identities(batch.join(names, on=NAMES, how="semi"))
    source.reached(Step.AWAKE)
    return _refuse_lost(window, clocks, found)


def _refuse_lost(window: Window, clocks: pl.DataFrame, found: pl.DataFrame) -> Window:
    """Retention may have taken a candle that a tick would change: such ticks are too late."""
    for row in clocks.iter_rows(named=True):
        its = found.filter(
            (pl.col("source") == row["source"])
            & (pl.col("symbol") == row["symbol"])
            & (pl.col("end_us") > row["clock_us"])
        )
        there = {*its["interval"].to_list(), COARSEST}
        at = pl.select(pl.lit(row["clock_us"], pl.Int64).alias("at"))
        for code, interval in enumerate(INTERVALS):
            start = interval.floor(pl.col("at"))
            start_us, end_us = at.select(start.alias("s"), interval.next(start).alias("e")).row(0)
            if code not in there and start_us >= window.rules.begin_us:
                window = window.refuse_before(row["source"], row["symbol"], int(end_us))
    return window


def _check(
    source: RestoreContext, mark: OffsetMetadata, committed: Committed, ticks: Range
) -> None:
    """Refuse an offset that does not belong to the ticks that are there, or to the settings."""
    anew = "start with --rebuild to make all candles anew from the ticks that are kept"
    same = mark.topicId == source.topic_id
    check_offset(source.where, committed.offset, mark.lastTicksBefore, ticks, same, anew)
    if mark.price != source.rules.price:
        raise StateError(
            f"the candles are made of {mark.price}, and --price says {source.rules.price}",
            f"use --price {mark.price}, or other topics and another --group, or {anew}",
        )


def check_offset(
    where: str, committed: int, marked: int, ticks: Range, same_topic: bool, anew: str
) -> None:
    """Refuse a committed offset that does not belong to the ticks that are there.

    `marked` is the offset that the metadata speaks of, `ticks` what the partition keeps, and
    `anew` the remedy.
    """
    if marked != committed:
        raise StateError(
            f"the group's offset for {where} is {committed}, but what was made of the ticks is "
            f"that of those before {marked}",
            f"set it back to that, or {anew}",
        )
    if not same_topic or committed > ticks.end:
        raise StateError(f"the topic of {where} was deleted and made again", anew)
    if committed < ticks.start:
        raise StateError(
            f"{ticks.start - committed} ticks of {where} were deleted by retention before they "
            "were read",
            f"raise --tick-retention, and {anew}",
        )


def _candles_kept(source: RestoreContext) -> list[Range]:
    return [source.reader.kept(topic, source.partition) for topic in source.topics.candles]


def _since(source: RestoreContext, code: int, timestamp_ms: int, mark: OffsetMetadata) -> Range:
    return _after(source, code, timestamp_ms, mark.began[code])


def _after(source: RestoreContext, code: int, timestamp_ms: int, began: int) -> Range:
    """The records of an interval from a timestamp, and of this run only."""
    topic = source.topics.candles[code]
    kept = source.reader.kept(topic, source.partition)
    first: int | None = kept.start
    if timestamp_ms > 0:
        first = source.reader.since(topic, source.partition, timestamp_ms)
    return Range(max(kept.end if first is None else first, began, kept.start), kept.end)


def _records(
    source: RestoreContext, spans: Mapping[int, Range]
) -> Iterable[tuple[int, list[Message]]]:
    """Records by interval, in the order of their offsets."""
    codes = {topic: code for code, topic in enumerate(source.topics.candles)}
    wanted = {source.topics.candles[code]: span for code, span in spans.items()}
    for batch in source.reader.read(source.partition, wanted, _PATIENCE_S):
        by_topic: dict[str, list[Message]] = {}
        for message in batch:
            by_topic.setdefault(str(message.topic()), []).append(message)
        for topic, messages in by_topic.items():
            yield codes[topic], messages


def _candles(
    source: RestoreContext, spans: Mapping[int, Range], run: str, offset: int | None
) -> pl.DataFrame:
    """The newest candle of each key (columns as `Window.adopt` takes them, and ticks_before)."""
    frames: list[pl.DataFrame] = []
    for code, messages in _records(source, spans):
        frames.append(_frame(source, code, messages, run, offset))
    if not frames:
        return _frame(source, COARSEST, [], run, offset)
    newest = pl.concat(frames).unique(
        (*NAMES, "interval", "start_us"), keep="last", maintain_order=True
    )
    return newest.filter(pl.col("volume").is_not_null())


def _frame(
    source: RestoreContext, code: int, messages: list[Message], run: str, offset: int | None
) -> pl.DataFrame:
    """The candles of records of one interval; a tombstone's volume is null."""
    topic = source.topics.candles[code]
    before: list[int] = []
    for message in messages:
        headers = dict(message.headers() or ())
        if headers.get(RUN) != run.encode():
            raise StateError(
                f"{topic} partition {source.partition} holds candles of another run or engine "
                f"(offset {message.offset()})",
                "stop the other engine, or start with --rebuild to make all candles anew",
            )
        before.append(int(headers.get(TICKS_BEFORE) or 0))
    if offset is not None and before and max(before) > offset:
        raise StateError(
            f"{topic} partition {source.partition} holds candles of ticks before {max(before)}, "
            f"but the group's offset is {offset}",
            "start with --rebuild to make all candles anew from the ticks that are kept",
        )
    # A tombstone's key is a candle's value without its other fields, which come out null.
    values = [message.value() or message.key() or b"{}" for message in messages]
    return codec.candles_from(values, code).with_columns(
        published_us=pl.Series([m.timestamp()[1] * 1000 for m in messages], dtype=pl.Int64),
        ticks_before=pl.Series(before, dtype=pl.Int64),
    )


def _dormant(candles: pl.DataFrame, since_us: int) -> dict[tuple[str, str], int]:
    """The series that have shown no tick since; as `Window.active` counts it."""
    months = (
        candles.filter(pl.col("interval") == COARSEST)
        .group_by(NAMES)
        .agg(pl.col("published_us").max(), pl.col("ticks_before").max())
    )
    quiet = months.filter(pl.col("published_us") < since_us)
    return {(source, symbol): before for source, symbol, _, before in quiet.iter_rows()}


def _ticks(source: RestoreContext, span: Range) -> Iterable[pl.DataFrame]:
    """The valid ticks of a range, as they were when they were first read."""
    return _valid(source, source.topics.ticks, source.partition, span)


def _valid(
    source: RestoreContext, topic: str, partition: int, span: Range
) -> Iterable[pl.DataFrame]:
    for batch in source.reader.read(partition, {topic: span}, _PATIENCE_S):
        yield parse_ticks({partition: batch}, source.max_future_us)[partition].valid


def _complete_from_us(source: RestoreContext) -> int:
    """From which instant no tick has been deleted; BEFORE_ALL_US where none has at all."""
    complete_us = BEFORE_ALL_US
    for topic, partition in source.feeds:
        kept = source.reader.kept(topic, partition)
        if kept.start > 0:
            first_us = _first_event_us(_valid(source, topic, partition, kept))
            complete_us = max(complete_us, first_us)
    return complete_us


def _first_event_us(batches: Iterable[pl.DataFrame]) -> int:
    """The dateTime of the oldest valid tick; BEFORE_ALL_US where there is none."""
    for batch in batches:
        if not batch.is_empty():
            return int(batch["event_us"][0])
    return BEFORE_ALL_US
