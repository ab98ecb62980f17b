"""Candles recomputed from the lake's ticks, compared with the tables and the topics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from homma.core.compare import Tally
from homma.core.interval import COARSEST
from homma.core.recompute import EventSpan, Slice
from homma.core.tick import Price
from homma.lake.comparing import Comparison, UnlandedTicks, judged, reconcile, records_of, unequal
from homma.lake.counted_ticks import AT_ONCE, CountedTicks, SeriesFilter
from homma.lake.engine import Engine, price_of
from homma.lake.schema import CANDLES, TICKS
from homma.lake.table import Lake, Table
from homma.topics.kafka.published_candles import Published


@dataclass(frozen=True, slots=True)
class Scope:
    """Which candles, of which price; `at_once` ticks are held in memory."""

    price: Price = "mid"
    series: SeriesFilter = field(default_factory=SeriesFilter)
    span: EventSpan = field(default_factory=EventSpan)
    max_future_us: int = 300_000_000
    at_once: int = AT_ONCE


@dataclass(slots=True)
class Report:
    """What was found; `topic` is None where the topics were not asked."""

    table: Tally = field(default_factory=Tally)
    topic: Tally | None = None
    ticks: int = 0

    @property
    def wrong(self) -> int:
        """How many candles are not as they must be."""
        return self.table.wrong + (self.topic.wrong if self.topic else 0)


class Snapshot:
    """Tables, topics and offsets as they are looked at: in an order that makes them comparable.

    First the candle tables, then the engine's offsets, then the candle topics, at last the ticks:
    so the ticks that must be in a candle are all there.
    """

    def __init__(self, lake: Lake, engine: Engine | None, question: Scope) -> None:
        self.question = question
        self.tables: Sequence[Table] = [lake.table(spec) for spec in CANDLES]
        self.landed = [_next(table) for table in self.tables]
        standings = engine.standings() if engine else {}
        price_of(standings, question.price)
        self.committed = {partition: at.offset for partition, at in standings.items()}
        self.published = None
        if engine is not None:
            self.published = Published(
                engine.reader, engine.topics, engine.partitions, self._wanted
            )
            self.published.look()
        ticks = lake.table(TICKS)
        before = {
            partition: min(offset, self.committed.get(partition, offset))
            for partition, offset in _next(ticks).items()
        }
        self.basis = CountedTicks(ticks, question.price, question.series, before)

    def _wanted(self, candles: pl.DataFrame) -> pl.DataFrame:
        span = self.question.span
        start = pl.col("start_us")
        inside = (start >= span.start_us) & (start < span.end_us)
        # Months tell the series' event clocks.
        return self.question.series.of(candles).filter(inside | (pl.col("interval") == COARSEST))

    @property
    def homes(self) -> Mapping[tuple[str, str], int]:
        """In which partition each series stands."""
        found = dict(self.basis.partitions)
        if self.published is not None:
            rows = self.published.candles().select("source", "symbol", "partition").unique()
            found |= {(source, symbol): partition for source, symbol, partition in rows.iter_rows()}
        return found


def _next(table: Table) -> Mapping[int, int]:
    offsets = table.offsets()
    return offsets.next if offsets else {}


def verify(
    lake: Lake,
    engine: Engine | None,
    question: Scope,
    on_slice: Callable[[Slice], None] = lambda _: None,
) -> Report:
    """Compare every candle of a span; without an engine the tables only."""
    scene = Snapshot(lake, engine, question)
    report = Report(topic=Tally() if engine else None)
    doubtful: Comparison | None = None
    pieces = judged(
        scene.basis, scene.tables, scene.published, question.span, question.at_once, on_slice
    )
    for piece in pieces:
        table, topic = piece.verdicts()
        if engine is None:
            report.table.add(table)
            continue
        again = unequal((table, topic))
        report.table.add(table.join(again, on=again.columns, how="anti"))
        if topic is not None and report.topic is not None:
            report.topic.add(topic.join(again, on=again.columns, how="anti"))
        more = piece.of(again)
        doubtful = more if doubtful is None else doubtful.and_(more)
    if engine is not None and doubtful is not None:
        _settle(scene, engine, doubtful, report)
    report.ticks = scene.basis.ticks
    return report


def _settle(scene: Snapshot, engine: Engine, doubtful: Comparison, report: Report) -> None:
    """What did not agree may have been in motion."""
    assert scene.published is not None
    assert report.topic is not None
    keys = unequal(doubtful.verdicts())
    if keys.is_empty():
        return
    records = records_of(keys, scene.published.candles(), scene.committed, scene.homes)
    ends = dict(
        records.drop_nulls("partition").group_by("partition").agg(pl.col("before").max()).rows()
    )
    question = scene.question
    gap = UnlandedTicks(
        engine.reader, engine.topics, question.price, question.max_future_us, scene.basis
    )
    fresh = scene.basis.fresh(gap.until(ends))
    table, topic = reconcile(doubtful, records, fresh, scene.landed, scene.published.kept_from_ms)
    report.table.add(table)
    report.topic.add(topic)
