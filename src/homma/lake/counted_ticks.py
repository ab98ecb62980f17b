"""The ticks of the lake that count: of each partition those before an offset.

What Kafka has beyond, up to what the engine has committed, is the **gap**. Together they are the
ticks that a candle must be made of.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import polars as pl

from homma.core.recompute import FILED, TICKS, EventSpan, Slice, counted, cuts
from homma.core.series import NAMES, SERIES, register
from homma.core.tick import Price
from homma.errors import SplitSeries
from homma.lake.table import Table, Where

_IDENTITY: Final = (*NAMES, "event_us", "number")
_COLUMNS: Final = ("source", "symbol", "date_time", "number", "kafka_partition", "kafka_offset")
#: Ticks that are held in memory at once.
AT_ONCE: Final = 1_000_000
#: So many instants are looked up one by one.
_SINGLY: Final = 200


@dataclass(frozen=True, slots=True)
class SeriesFilter:
    """Which series: of a symbol, a source (empty: of all)."""

    symbol: str = ""
    source: str = ""

    def where(self, since_us: int | None = None, until_us: int | None = None) -> Where:
        """Rows of them, as a table wants it told."""
        both = ((self.source, self.symbol),) if self.source and self.symbol else ()
        return Where(both, (self.symbol,) if self.symbol and not both else (), since_us, until_us)

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the rows."""
        for name, value in (("source", self.source), ("symbol", self.symbol)):
            rows = rows.filter(pl.col(name) == value) if value else rows
        return rows


@dataclass(slots=True)
class CountedTicks:
    """The table of ticks, read up to the offsets `before`; ticks from files count too."""

    table: Table
    price: Price
    series: SeriesFilter
    before: Mapping[int, int]
    #: In which partition a series was found to stand.
    partitions: dict[tuple[str, str], int] = field(default_factory=dict)
    ticks: int = 0

    def slices(self, span: EventSpan, at_once: int = AT_ONCE) -> Iterator[Slice]:
        """The ticks that candles of a span are made of."""
        end_us = span.ticks_to_us()
        per_day = self.table.per_day(self.series.where(span.start_us or None, until(end_us)))
        edges = cuts(per_day, at_once, span.start_us, end_us)
        for start_us, stop_us in pairwise(edges):
            ticks = self._read(self.series.where(start_us or None, until(stop_us)))
            self.ticks += ticks.height
            self._place(ticks)
            yield Slice(start_us, stop_us, ticks)

    def _read(self, where: Where) -> pl.DataFrame:
        found = self.series.of(self.table.scan(where, (*_COLUMNS, self.price)))
        ticks = found.select(
            "source",
            "symbol",
            pl.col("date_time").dt.epoch("us").alias("event_us"),
            "number",
            pl.col(self.price).alias("price"),
            pl.col("kafka_partition").cast(pl.Int64).alias("partition"),
            pl.col("kafka_offset").alias("offset"),
        ).cast(TICKS)
        if self._all_count(ticks):
            return ticks
        limit = pl.col("partition").replace_strict(dict(self.before), default=0)
        return ticks.filter((pl.col("partition") == FILED) | (pl.col("offset") < limit))

    def _all_count(self, ticks: pl.DataFrame) -> bool:
        newest = ticks.group_by("partition").agg(pl.col("offset").max())
        return all(p == FILED or o < self.before.get(p, 0) for p, o in newest.iter_rows())

    def _place(self, ticks: pl.DataFrame) -> None:
        """Note where series stand; SplitSeries where one stands in two partitions."""
        recorded = ticks.filter(pl.col("partition") != FILED)
        for source, symbol, partition in (
            recorded.select(*NAMES, "partition").unique(maintain_order=True).iter_rows()
        ):
            other = self.partitions.setdefault((source, symbol), partition)
            if other != partition:
                raise SplitSeries(
                    f"series {source}:{symbol} stands in partitions {other} and {partition}",
                    "its candles are halves: key the records SOURCE:SYMBOL where they are "
                    "produced, or start the engine with --rekey --rebuild",
                )

    def fresh(self, ticks: pl.DataFrame) -> pl.DataFrame:
        """Those of `ticks` (TICKS) that count beside the lake's: of copies one, and none of its."""
        if ticks.is_empty():
            return ticks
        _, coded = register(SERIES.to_frame(), ticks)
        first = counted(coded).drop("series")
        instants = first["event_us"].unique()
        if instants.len() <= _SINGLY:
            where = Where(at_us=tuple(instants.to_list()))
        else:
            low, high = int(instants.min() or 0), int(instants.max() or 0)  # type: ignore[arg-type]
            where = self.series.where(low, high + 1)
        return first.join(self._read(where), on=_IDENTITY, how="anti")


def until(end_us: int) -> int | None:
    """The end of a range as a table wants it told: the end of time is no bound."""
    return None if end_us >= EventSpan().end_us else end_us
