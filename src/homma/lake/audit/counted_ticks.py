"""The ticks of the lake that count: per partition, those before an offset.

Ticks in Kafka after that offset, up to the engine's committed offset, are the **unlanded ticks**.
A candle must be built from both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import polars as pl

from homma.core import tick
from homma.core.calendar import Calendar
from homma.core.interval import DAY_US
from homma.core.recompute import (
    FROM_FILE,
    TICKS,
    EventSpan,
    RecordedTicks,
    Slice,
    first_copies,
    slice_bounds,
)
from homma.core.series import NAMES, SERIES, register
from homma.core.series_partitions import SeriesPartitions
from homma.core.tick import Price
from homma.lake.schema import TickRows
from homma.lake.table import Table, Where

_IDENTITY: Final = (*NAMES, "event_us", "number")
_COLUMNS: Final = ("source", "symbol", "date_time", "number", "kafka_partition", "kafka_offset")
#: Maximum number of ticks in memory.
MAX_TICKS: Final = 1_000_000
#: Maximum number of instants in a filter; above it, their range is read.
_SINGLY: Final = 200


@dataclass(frozen=True, slots=True)
class SeriesFilter:
    """Filters by symbol and source (empty: all)."""

    symbol: str = ""
    source: str = ""

    def where(self, since_us: int | None = None, until_us: int | None = None) -> Where:
        """The filter for `Table.scan`, with a time range."""
        series = ((self.source, self.symbol),) if self.source and self.symbol else ()
        return Where(
            series, (self.symbol,) if self.symbol and not series else (), since_us, until_us
        )

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows of these series (columns source, symbol)."""
        for name, value in (("source", self.source), ("symbol", self.symbol)):
            rows = rows.filter(pl.col(name) == value) if value else rows
        return rows


@dataclass(slots=True)
class CountedTicks:
    """The tick table up to the offsets `before` of each partition, and all ticks from files."""

    table: Table
    price: Price
    series: SeriesFilter
    before: Mapping[int, int]
    #: Ticks from files that are not in the table yet.
    new_ticks: RecordedTicks = field(default_factory=TICKS.to_frame)
    #: The partition of each series read so far.
    partitions: SeriesPartitions = field(default_factory=SeriesPartitions)
    ticks: int = 0

    def slices(
        self, span: EventSpan, calendar: Calendar, max_ticks: int = MAX_TICKS
    ) -> Iterator[Slice]:
        """The ticks that the candles of a span are built from, in slices.

        Raises SplitSeries if the ticks of a series are in two partitions.
        """
        end_us = span.ticks_end_us(calendar)
        per_day = self.table.per_day(self.series.where(span.start_us or None, end_or_none(end_us)))
        new_days = self.new_ticks.group_by(pl.col("event_us") // DAY_US).len()
        for day, count in new_days.iter_rows():
            per_day[day] = per_day.get(day, 0) + count
        edges = slice_bounds(per_day, max_ticks, span.start_us, end_us)
        for start_us, stop_us in pairwise(edges):
            ticks = self._read(self.series.where(start_us or None, end_or_none(stop_us)))
            self.ticks += ticks.height
            from_topic = ticks.filter(pl.col("partition") != FROM_FILE)
            self.partitions.require_unsplit(from_topic, self.table.name)
            yield Slice(start_us, stop_us, ticks)

    def _read(self, where: Where) -> RecordedTicks:
        columns = (*_COLUMNS, *(("price", "size") if self.price == "trade" else (self.price,)))
        rows = self.series.apply(self.table.scan(where, columns))
        ticks = recorded_ticks(rows, self.price)
        if not self._all_before(ticks):
            limit = pl.col("partition").replace_strict(dict(self.before), default=0)
            ticks = ticks.filter((pl.col("partition") == FROM_FILE) | (pl.col("offset") < limit))
        return pl.concat([ticks, self.new_ticks.filter(where.instants(pl.col("event_us")))])

    def _all_before(self, ticks: RecordedTicks) -> bool:
        newest = ticks.group_by("partition").agg(pl.col("offset").max())
        return all(p == FROM_FILE or o < self.before.get(p, 0) for p, o in newest.iter_rows())

    def not_in_lake(self, ticks: RecordedTicks) -> RecordedTicks:
        """The ticks that are not in the lake, without duplicates."""
        if ticks.is_empty():
            return ticks
        _, coded = register(SERIES.to_frame(), ticks)
        unique = first_copies(coded).drop("series")
        instants = unique["event_us"].unique()
        if instants.len() <= _SINGLY:
            where = Where(at_us=tuple(instants.to_list()))
        else:
            low, high = int(instants.min() or 0), int(instants.max() or 0)  # type: ignore[arg-type]
            where = self.series.where(low, high + 1)
        return unique.join(self._read(where), on=_IDENTITY, how="anti")


def recorded_ticks(rows: TickRows, price: Price) -> RecordedTicks:
    """The rows of the tick table to which a price applies, as recorded ticks."""
    applicable = tick.applicable(rows, price)
    ticks = tick.with_turnover(applicable) if price == "trade" else applicable
    return ticks.select(
        "source",
        "symbol",
        pl.col("date_time").dt.epoch("us").alias("event_us"),
        "number",
        *tick.measures(price),
        pl.col("kafka_partition").cast(pl.Int64).alias("partition"),
        pl.col("kafka_offset").alias("offset"),
    ).cast(TICKS)


def end_or_none(end_us: int) -> int | None:
    """The end of a range for `Where`: None for the end of time."""
    return None if end_us >= EventSpan().end_us else end_us
