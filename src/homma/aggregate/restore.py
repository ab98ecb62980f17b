"""Restores a partition's window from the topics: at assignment, and when a dormant series wakes.

At assignment the month topic is read completely: it has every series and its largest event time.
The other candle topics are read from the points given by the offset metadata. That covers all open
candles and every candle that a tick of an active series may still correct. A series without recent
ticks is **dormant**: its correctable candles may be weeks back in the topics, so they are read only
when the series has a new tick.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from homma.aggregate.recorded_state import (
    REBUILD,
    RestoreContext,
    candle_range,
    candle_range_from,
    candle_ranges,
    complete_from_us,
    read_candles,
    read_records,
    read_ticks,
    tick_range,
)
from homma.core.interval import BY_CODE, CLOCK
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.core.tick import Price, kind_of
from homma.core.window import RestoredCandles, Window, WindowRules
from homma.errors import StateError
from homma.failpoint import Step
from homma.partitions.committed import check_offset
from homma.topics.kafka.identity import topic_state
from homma.topics.kafka.reading import Committed, Range
from homma.topics.offset_metadata import DAY_STARTS, OffsetMetadata, read_offset_metadata

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
    #: The intervals of the last commit, by code; None for a new run.
    committed_intervals: tuple[str, ...] | None = None


def first_run(context: RestoreContext, run: str) -> RestoredState:
    """A first run, from the oldest tick in the topic. Raises StateError if candles exist."""
    ranges = candle_ranges(context)
    for code, records in read_records(context, ranges):
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
    ranges = candle_ranges(context)
    rules = context.rules
    if any(span.start < span.end for span in ranges.values()):
        complete_us = complete_from_us(context)
        if complete_us > BEFORE_ALL_US:
            rules = replace(rules, publish_from_us=dict.fromkeys(ranges, complete_us))
    return _new_run(context, rules, run, ranges)


def _new_run(
    context: RestoreContext, rules: WindowRules, run: str, candle_ranges: Mapping[str, Range]
) -> RestoredState:
    return RestoredState(
        window=Window(rules),
        offset=tick_range(context).start,
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
    ticks = tick_range(context)
    _check(context, metadata, committed, ticks)
    run_starts = _run_starts(context, metadata)
    ranges = {
        code: candle_range_from(
            context,
            code,
            0 if code == CLOCK.code else metadata.candlesFrom.get(code, 0),
            run_start,
        )
        for code, run_start in run_starts.items()
    }
    candles = read_candles(context, ranges, metadata.run, committed.offset)
    context.on_step(Step.CANDLES_READ)
    window = Window(context.rules, clock_us=metadata.clock).restore_candles(candles)
    publish_from_us = _publish_from_us(window, metadata, run_starts)
    window = replace(window, rules=replace(context.rules, publish_from_us=publish_from_us))
    dormant = _dormant(candles, context.rules.finality.active_from_us(metadata.clock))
    recalled = Range(max(metadata.recallFrom, ticks.start), committed.offset)
    for batch in read_ticks(context, recalled):
        window = window.restore_identities(batch)
    context.on_step(Step.TICKS_RECALLED)
    return RestoredState(
        window,
        committed.offset,
        metadata.clock,
        metadata.run,
        run_starts,
        dormant,
        committed_intervals=metadata.intervals,
    )


def _run_starts(context: RestoreContext, metadata: OffsetMetadata) -> dict[str, int]:
    """By interval: where the run begins in its topic. That is the end for a new interval."""
    return {
        interval.code: metadata.began[interval.code]
        if interval.code in metadata.began
        else candle_range(context, interval.code).end
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
    """The window with the candles and identities of series that were dormant."""
    names = pl.DataFrame(list(waking), schema=dict.fromkeys(NAMES, pl.String()), orient="row")
    series = names.join(window.series, on=NAMES, how="left")
    records_from_us = partial(
        context.rules.finality.records_from_us,
        int(series.select(pl.col("max_event_us").min()).item()),
        context.tick_rules.max_future_us,
    )
    ranges = {
        interval.code: candle_range_from(
            context,
            interval.code,
            records_from_us(interval.longest_us) // 1000,
            run_starts[interval.code],
        )
        for interval in context.intervals
        # Months were restored at assignment, and their timestamps are not the partition clock.
        if interval is not CLOCK
    }
    candles = read_candles(context, ranges, run, None).join(names, on=NAMES, how="semi")
    context.on_step(Step.WAKING_CANDLES_READ)
    window = window.restore_candles(candles)
    ticks = tick_range(context)
    first = context.reader.offset_for_time(
        context.topics.ticks, context.partition, max(0, records_from_us(0) // 1000)
    )
    recalled = Range(ticks.start if first is None else first, min(max(waking.values()), ticks.end))
    for batch in read_ticks(context, recalled):
        window = window.restore_identities(batch.join(names, on=NAMES, how="semi"))
    context.on_step(Step.AWAKE)
    return _drop_incomplete(window, series, candles)


def _drop_incomplete(window: Window, series: pl.DataFrame, candles: RestoredCandles) -> Window:
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
    state = topic_state(metadata.topicId, context.topic_id)
    check_offset(context.where, committed.offset, metadata.lastTicksBefore, ticks, state, REBUILD)
    if metadata.price != context.rules.price:
        raise _price_error(metadata.price, context)
    if metadata.prices != context.tick_rules.prices:
        raise StateError(
            f"the candles are built with --prices {metadata.prices}, but --prices is "
            f"{context.tick_rules.prices}",
            f"use --prices {metadata.prices}, or other topics and another --group, or {REBUILD}",
        )
    if metadata.dayStarts != DAY_STARTS:
        raise StateError(
            f"the candles of {context.where} have days that start at {metadata.dayStarts}, which "
            "this homma cannot aggregate",
            "upgrade this homma",
        )


def require_same_kind(context: RestoreContext, committed: Committed | None) -> None:
    """Raise StateError if candles of trades would take the place of those of quotes, or vice versa.

    Candles that are not built again would stay.
    """
    if committed is None:
        return
    metadata = read_offset_metadata(committed.metadata, context.where)
    if kind_of(metadata.price) != kind_of(context.rules.price):
        raise _price_error(metadata.price, context)


def _price_error(committed: Price, context: RestoreContext) -> StateError:
    return StateError(
        f"the candles are built from {committed}, but --price is {context.rules.price}",
        f"use --price {committed}, or {_other_price(committed, context)}",
    )


def _other_price(price: Price, context: RestoreContext) -> str:
    """How to get candles of another price than the one that was committed."""
    if kind_of(price) == kind_of(context.rules.price):
        return f"other topics and another --group, or {REBUILD}"
    return (
        "other topics, another --group and another --namespace, as candles of trades and of quotes "
        "cannot share them"
    )


def _dormant(candles: RestoredCandles, since_us: int) -> dict[tuple[str, str], int]:
    """The series without a tick since then, decided as in `Window.active_series`."""
    months = (
        candles.filter(pl.col("interval") == CLOCK.code)
        .group_by(NAMES)
        .agg(pl.col("published_us").max(), pl.col("ticks_before").max())
    )
    dormant = months.filter(pl.col("published_us") < since_us)
    return {(source, symbol): before for source, symbol, _, before in dormant.iter_rows()}
