"""Recomputes candles from the lake's ticks and compares them with tables and topics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homma.core.calendar import Calendar
from homma.core.compare import Tally, Verdicts
from homma.core.fields import Prices
from homma.core.interval import CLOCK, HOUR_US
from homma.core.recompute import EventSpan, RecordedTicks, Slice
from homma.core.tick import Price, TickRules
from homma.errors import LakeError
from homma.lake.audit.comparing import (
    Comparison,
    NewestRecords,
    UnlandedTicks,
    compare_slices,
    newest_records,
    reconcile,
    unequal_keys,
)
from homma.lake.audit.counted_ticks import MAX_TICKS, CountedTicks, SeriesFilter
from homma.lake.audit.engine import CommittedState, Engine, check_settings
from homma.lake.schema import TICKS, candle_tables
from homma.lake.table import Lake, Table
from homma.lake.valid_prices import require_prices
from homma.topics.kafka.published_candles import PublishedCandles, TopicCandles

#: By how much the clocks of engine and brokers may differ.
_CLOCKS_DIFFER_US: Final = HOUR_US


@dataclass(frozen=True, slots=True)
class Scope:
    """The candles to compare: intervals, price, series and range.

    At most `max_ticks` are in memory.
    """

    calendar: Calendar
    price: Price = "mid"
    prices: Prices = "positive"
    series: SeriesFilter = field(default_factory=SeriesFilter)
    span: EventSpan = field(default_factory=EventSpan)
    max_future_us: int = 300_000_000
    max_ticks: int = MAX_TICKS

    @property
    def tick_rules(self) -> TickRules:
        """Which ticks make up the candles."""
        return TickRules(self.max_future_us, self.prices, self.price)

    @property
    def is_whole(self) -> bool:
        """Whether the scope has all candles of the calendar."""
        return self.span == EventSpan() and self.series == SeriesFilter()


@dataclass(slots=True)
class Report:
    """The verdicts on tables and topics; `topic` is None if topics were not compared."""

    table: Tally = field(default_factory=Tally)
    topic: Tally | None = None
    ticks: int = 0

    @property
    def wrong(self) -> int:
        """The number of wrong candles."""
        return self.table.wrong + (self.topic.wrong if self.topic else 0)


class Snapshot:
    """Tables, topics and offsets, read in an order that makes them comparable.

    The order is candle tables, the engine's offsets, candle topics, tick table: so the tick table
    has all ticks that must be in the candles.
    """

    def __init__(
        self,
        lake: Lake,
        engine: Engine | None,
        scope: Scope,
        *,
        records_since_ms: int = 0,
        new_ticks: RecordedTicks | None = None,
    ) -> None:
        """Read all but the ticks. `new_ticks`: ticks of files that are not in the lake yet."""
        self.scope = scope
        self.tables: Sequence[Table] = [lake.table(spec) for spec in candle_tables(scope.calendar)]
        self.landed = {
            code: _next_offsets(table)
            for code, table in zip(scope.calendar.codes, self.tables, strict=True)
        }
        self.states: Mapping[int, CommittedState] = {}
        if engine is not None:
            self.states = engine.committed_states()
            check_settings(self.states, engine.group, scope.tick_rules, scope.calendar)
        self.committed = {partition: state.offset for partition, state in self.states.items()}
        self.published = None
        if engine is not None:
            self.published = PublishedCandles(
                engine.reader, engine.topics, engine.partitions, self._in_scope, records_since_ms
            )
            self.published.refresh()
        # Whoever sees the candles of a load in the topics sees this too, or else their ticks.
        ticks = lake.table(TICKS)
        require_prices(ticks, scope.prices)
        if new_ticks is None and ticks.is_loading:
            raise LakeError(
                "the candles of a load are published, and their ticks are not in the lake yet",
                "wait until the load has ended; if it was interrupted, load the files again",
            )
        before = dict(_next_offsets(ticks))
        if engine is not None:
            # The ticks of a partition without a committed offset are in no candle yet.
            before = {p: min(offset, self.committed.get(p, 0)) for p, offset in before.items()}
        self.counted = CountedTicks(ticks, scope.price, scope.series, before)
        if new_ticks is not None:
            self.counted.new_ticks = new_ticks

    def _in_scope(self, candles: TopicCandles) -> TopicCandles:
        span = self.scope.span
        start = pl.col("start_us")
        inside = (start >= span.start_us) & (start < span.end_us)
        # The months hold the newest event time of each series.
        return self.scope.series.apply(candles).filter(inside | (pl.col("interval") == CLOCK.code))

    def compare(self, on_slice: Callable[[Slice], None]) -> Iterator[Comparison]:
        """Compare every candle of the scope once, slice by slice."""
        scope = self.scope
        return compare_slices(
            scope.calendar,
            self.counted,
            self.tables,
            self.published,
            scope.span,
            scope.max_ticks,
            on_slice,
        )

    def reconcile(
        self, comparison: Comparison, records: NewestRecords, unlanded: RecordedTicks
    ) -> tuple[Verdicts, Verdicts]:
        """Compare unequal candles again, with the ticks that are not in the lake yet."""
        assert self.published is not None
        retained_from_ms = self.published.retained_from_ms
        return reconcile(
            comparison, records, unlanded, self.landed, retained_from_ms, self.scope.calendar
        )

    @property
    def partitions(self) -> Mapping[tuple[str, str], int]:
        """The partition of each series."""
        partitions = dict(self.counted.partitions.by_series)
        if self.published is not None:
            rows = self.published.candles().select("source", "symbol", "partition").unique()
            partitions |= {
                (source, symbol): partition for source, symbol, partition in rows.iter_rows()
            }
        return partitions


def _next_offsets(table: Table) -> Mapping[int, int]:
    offsets = table.offsets()
    return offsets.next if offsets else {}


def verify(
    lake: Lake,
    engine: Engine | None,
    scope: Scope,
    on_slice: Callable[[Slice], None] = lambda _: None,
) -> Report:
    """Compare every candle of the scope; without an engine, in the tables only."""
    # A candle is written after it starts, or before by as much as its ticks are in the future.
    earliest_us = scope.span.start_us - scope.max_future_us - _CLOCKS_DIFFER_US
    snapshot = Snapshot(lake, engine, scope, records_since_ms=max(0, earliest_us // 1000))
    report = Report(topic=Tally() if engine else None)
    suspects: Comparison | None = None
    for comparison in snapshot.compare(on_slice):
        table, topic = comparison.verdicts()
        if engine is None:
            report.table.add(table)
            continue
        unequal = unequal_keys((table, topic))
        report.table.add(table.join(unequal, on=unequal.columns, how="anti"))
        if topic is not None and report.topic is not None:
            report.topic.add(topic.join(unequal, on=unequal.columns, how="anti"))
        part = comparison.restrict(unequal)
        suspects = part if suspects is None else suspects.concat(part)
    if engine is not None and suspects is not None:
        _recheck(snapshot, engine, suspects, report)
    report.ticks = snapshot.counted.ticks
    return report


def _recheck(snapshot: Snapshot, engine: Engine, suspects: Comparison, report: Report) -> None:
    """Compare unequal candles again: they may have been changing."""
    assert snapshot.published is not None
    assert report.topic is not None
    keys = unequal_keys(suspects.verdicts())
    if keys.is_empty():
        return
    records = newest_records(
        keys, snapshot.published.candles(), snapshot.committed, snapshot.partitions
    )
    ends = dict(
        records.drop_nulls("partition").group_by("partition").agg(pl.col("before").max()).rows()
    )
    scope = snapshot.scope
    reader = UnlandedTicks(
        engine.reader, engine.topics, scope.price, scope.tick_rules, snapshot.counted
    )
    unlanded = snapshot.counted.not_in_lake(reader.read_to(ends))
    table, topic = snapshot.reconcile(suspects, records, unlanded)
    report.table.add(table)
    report.topic.add(topic)
