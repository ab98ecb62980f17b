"""Compares expected candles with those in the tables and the topics.

The candles of a slice of ticks are compared as soon as they are complete. Candles that differ from
the lake's ticks are compared again, with the **unlanded ticks**, which are only in Kafka so far:
the candle was still changing, or the table is behind its topic.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import polars as pl

from homma.core.calendar import Calendar
from homma.core.candle import order_key_us
from homma.core.compare import Verdicts, compare
from homma.core.interval import CODE
from homma.core.recompute import (
    EXPECTED,
    EXPECTED_KEY,
    RECORDED,
    TICKS,
    CandleKeys,
    EventSpan,
    ExpectedCandles,
    Recomputation,
    RecordedCandles,
    RecordedTicks,
    Slice,
    add_ticks,
)
from homma.core.series import NAMES
from homma.core.tick import Price, TickRules, measures
from homma.errors import LakeError, OffsetsLost
from homma.lake.audit import rows
from homma.lake.audit.counted_ticks import MAX_TICKS, CountedTicks, end_or_none
from homma.lake.table import Table
from homma.topics.contract import Topics
from homma.topics.kafka.published_candles import TOPIC_CANDLE, PublishedCandles, TopicCandles
from homma.topics.kafka.reading import Range, Reader
from homma.topics.precedence import without_tombstones
from homma.topics.ticks import parse_ticks

#: Maximum number of unlanded ticks in memory.
_MAX_UNLANDED: Final = 5_000_000
#: Retention may have deleted a candle up to this much newer than the oldest record kept.
_SLACK_MS: Final = 300_000

NEWEST_RECORD: Final = pl.Schema({**TOPIC_CANDLE, "before": pl.Int64()})
#: Keys of candles with their newest record, null if there is none, and the end of their ticks.
NewestRecords: TypeAlias = pl.DataFrame


@dataclass(frozen=True, slots=True)
class Comparison:
    """The expected candles of a slice, and those in the tables and the topics."""

    expected: ExpectedCandles
    table: RecordedCandles
    topic: TopicCandles | None

    def verdicts(self) -> tuple[Verdicts, Verdicts | None]:
        """The verdicts on the tables and on the topics."""
        topic = None if self.topic is None else compare(self.expected, self.topic)
        return compare(self.expected, self.table), topic

    def restrict(self, keys: CandleKeys) -> "Comparison":
        """The part with some keys."""
        expected, table = (
            f.join(keys, on=EXPECTED_KEY, how="semi") for f in (self.expected, self.table)
        )
        topic = self.topic
        return Comparison(
            expected,
            table,
            None if topic is None else topic.join(keys, on=EXPECTED_KEY, how="semi"),
        )

    def concat(self, other: "Comparison") -> "Comparison":
        """Both comparisons in one."""
        topic = None
        if self.topic is not None and other.topic is not None:
            topic = pl.concat([self.topic, other.topic])
        return Comparison(
            pl.concat([self.expected, other.expected]), pl.concat([self.table, other.table]), topic
        )


def unequal_keys(verdicts: Iterable[Verdicts | None]) -> CandleKeys:
    """The keys of candles that some verdict finds unequal."""
    wrong = pl.col("verdict") != "equal"
    frames = [f.filter(wrong).select(EXPECTED_KEY) for f in verdicts if f is not None]
    return pl.concat(frames).unique()


def compare_slices(
    calendar: Calendar,
    counted: CountedTicks,
    tables: Sequence[Table],
    published: PublishedCandles | None,
    span: EventSpan,
    max_ticks: int = MAX_TICKS,
    on_slice: Callable[[Slice], None] = lambda _: None,
) -> Iterator[Comparison]:
    """Compare every candle of the span once, slice by slice. `tables` are the calendar's."""
    recomputation, before_us = Recomputation(calendar, span), -1
    topic = None if published is None else without_tombstones(published.candles())
    for tick_slice in counted.slices(span, calendar, max_ticks):
        expected = recomputation.add(tick_slice)
        spans = {
            interval.code: span.starts_ending_in(interval, before_us, tick_slice.end_us)
            for interval in calendar
        }
        stored = pl.concat(
            [
                _rows(table, counted, part)
                for table, part in zip(tables, spans.values(), strict=True)
            ]
        )
        yield Comparison(expected, stored, None if topic is None else _within(topic, spans))
        before_us = tick_slice.end_us
        on_slice(tick_slice)


def _rows(table: Table, counted: CountedTicks, span: EventSpan) -> RecordedCandles:
    interval = table.spec.interval
    assert interval is not None
    if span.start_us >= span.end_us:
        return RECORDED.to_frame()
    where = counted.series.where(span.start_us or None, end_or_none(span.end_us))
    stored = counted.series.apply(table.scan(where, rows.COLUMNS))
    return rows.candles(stored, interval).cast(RECORDED)


def _within(candles: TopicCandles, spans: Mapping[str, EventSpan]) -> TopicCandles:
    start, interval = pl.col("start_us"), pl.col("interval")
    conditions = [
        (interval == code) & (start >= span.start_us) & (start < span.end_us)
        for code, span in spans.items()
        if span.start_us < span.end_us
    ]
    return candles.filter(pl.any_horizontal(conditions)) if conditions else candles.clear()


@dataclass(slots=True)
class UnlandedTicks:
    """Reads ticks that are in Kafka but not among the counted ticks of the lake."""

    reader: Reader
    topics: Topics
    price: Price
    rules: TickRules
    counted: CountedTicks
    _read: dict[int, tuple[int, RecordedTicks]] = field(default_factory=dict)

    def read_to(self, ends: Mapping[int, int]) -> RecordedTicks:
        """The ticks up to the offsets `ends`; OffsetsLost if Kafka has deleted some."""
        frames = [pl.DataFrame(schema=TICKS)]
        for partition, end in ends.items():
            after, ticks = self._read.get(
                partition, (self.counted.before.get(partition, 0), frames[0])
            )
            if after < end:
                ticks = pl.concat([ticks, *self._ticks(partition, after, end)])
                self._read[partition] = (end, ticks)
            frames.append(ticks.filter(pl.col("offset") < end))
        return self.counted.series.apply(pl.concat(frames))

    def _ticks(self, partition: int, after: int, end: int) -> Iterator[RecordedTicks]:
        topic = self.topics.ticks
        if end - after > _MAX_UNLANDED:
            raise LakeError(
                f"the lake is {end - after} ticks behind {topic} partition {partition}",
                "wait until `homma land` has caught up",
            )
        offsets = self.reader.offset_range(topic, partition)
        if after < offsets.start:
            raise OffsetsLost(
                f"{offsets.start - after} offsets of {topic} partition {partition} are neither in "
                "the lake nor in Kafka",
                "their candles cannot be recomputed: load these ticks from a recording with "
                "`homma backfill`, and start `homma land --accept-loss`, which continues at the "
                "oldest tick in Kafka",
            )
        ranges = {topic: Range(after, end)}
        for batch in self.reader.read(partition, ranges):
            valid = parse_ticks({partition: batch}, self.rules)[partition].valid
            yield valid.select(
                *NAMES,
                "event_us",
                "number",
                *measures(self.price),
                pl.lit(partition, pl.Int64).alias("partition"),
                "offset",
            ).cast(TICKS)


def newest_records(
    keys: CandleKeys,
    published: TopicCandles,
    committed: Mapping[int, int],
    partitions: Mapping[tuple[str, str], int],
) -> NewestRecords:
    """The newest record of each key, null if there is none.

    `before`: all ticks before this offset must be in the candle. Without a record, `partition` is
    that of the series.
    """
    series_partitions = pl.DataFrame(
        [(*name, partition) for name, partition in partitions.items()],
        schema={"source": pl.String, "symbol": pl.String, "series_partition": pl.Int64},
        orient="row",
    )
    ends = pl.DataFrame(
        {"partition": list(committed), "committed": list(committed.values())},
        schema={"partition": pl.Int64, "committed": pl.Int64},
    )
    return (
        keys.select(EXPECTED_KEY)
        .join(published, on=EXPECTED_KEY, how="left")
        .join(series_partitions, on=NAMES, how="left")
        .with_columns(partition=pl.coalesce("partition", "series_partition"))
        .join(ends, on="partition", how="left")
        .with_columns(before=pl.coalesce("ticks_before", "committed", pl.lit(0, pl.Int64)))
        .drop("series_partition", "committed")
    )


def reconcile(
    comparison: Comparison,
    records: NewestRecords,
    unlanded: RecordedTicks,
    landed: Mapping[str, Mapping[int, int]],
    retained_from_ms: Mapping[str, int],
    calendar: Calendar,
) -> tuple[Verdicts, Verdicts]:
    """Compare unequal candles again: verdicts on the tables and on the topics.

    `unlanded` ticks have no duplicates, `landed` are the offsets in the tables by interval. A
    candle must contain the ticks that its newest record claims. `behind`: the table has not read
    that record yet. `expired`: retention may have deleted the candle from its topic.
    """
    keys = records.select(*EXPECTED_KEY, "before")
    expected = add_ticks(comparison.expected, keys, unlanded, calendar)
    return (
        _mark_behind(compare(expected, comparison.table), records, landed),
        _mark_expired(
            compare(expected, without_tombstones(records).select(EXPECTED.names())),
            retained_from_ms,
        ),
    )


def _mark_behind(
    verdicts: Verdicts, records: NewestRecords, landed: Mapping[str, Mapping[int, int]]
) -> Verdicts:
    ends = pl.DataFrame(
        [(code, *item) for code, offsets in landed.items() for item in offsets.items()],
        schema={"interval": CODE, "partition": pl.Int64, "landed": pl.Int64},
        orient="row",
    )
    waiting = (
        records.join(ends, on=("interval", "partition"), how="left")
        .filter(pl.col("offset") >= pl.col("landed").fill_null(0))
        .select(*EXPECTED_KEY, _is_waiting=pl.lit(value=True))
    )
    is_behind = (pl.col("verdict") != "equal") & pl.col("_is_waiting").is_not_null()
    return (
        verdicts.join(waiting, on=EXPECTED_KEY, how="left")
        .with_columns(verdict=pl.when(is_behind).then(pl.lit("behind")).otherwise("verdict"))
        .drop("_is_waiting")
    )


def _mark_expired(verdicts: Verdicts, retained_from_ms: Mapping[str, int]) -> Verdicts:
    if not retained_from_ms:
        return verdicts
    oldest_ms = pl.col("interval").replace_strict(
        dict(retained_from_ms), default=0, return_dtype=pl.Int64
    )
    is_old = order_key_us(pl.col("close_order_key")) // 1000 < oldest_ms + _SLACK_MS
    is_expired = (pl.col("verdict") == "missing") & (oldest_ms > 0) & is_old
    return verdicts.with_columns(
        verdict=pl.when(is_expired).then(pl.lit("expired")).otherwise("verdict")
    )
