"""Candles on their way into the table of their interval."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.core.series import BEFORE_ALL_US
from homma.errors import SplitSeries
from homma.lake import newest, records
from homma.lake.committing import Prepared
from homma.lake.newest import CandleChange, FinalityRules
from homma.lake.schema import CANDLE_KEY
from homma.lake.sinks import Sink, SinkContext, SourceTopic
from homma.lake.table import Part, Table, Where
from homma.topics.kafka.reading import Message

log = logging.getLogger("homma.land")

#: So many candles are committed before their time: they fill the memory.
_MANY: Final = 100_000
#: So many records are looked through for what they leave.
_REDUCE_AT: Final = 50_000
#: So many starts are asked for one by one; of more, all between the first and the last.
_ALL_AT: Final = 200
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class CandleBatch:
    """What is to be committed: one record a key, what the clocks said then, and how far it is."""

    reduced: pl.DataFrame
    clocks: pl.DataFrame
    position: Mapping[int, int]
    count: int


class CandleSink(Sink):
    """One row a candle, replaced as it changes: open candles are in it too."""

    lasting = Where(final=True)

    def __init__(
        self,
        table: Table,
        origin: SourceTopic,
        context: SinkContext,
        every_s: float,
        rules: FinalityRules,
    ) -> None:
        super().__init__(table, origin, context, every_s)
        self._rules = rules
        self._name = INTERVALS[rules.interval].name
        self._taken: list[pl.DataFrame] = []
        self._count = 0
        self._records = 0
        self._restore()
        self._clocks = newest.clocks_of(self._open)

    def _restore(self) -> None:
        """The open rows are the state: they come from the table."""
        self._open = self.table.read(self.table.parts(Where(final=False)))
        self._final_until_us = max(
            (part.newest_us for part in self.table.parts(Where(final=True))),
            default=BEFORE_ALL_US,
        )

    @property
    def pending(self) -> bool:
        """Missing offsets are normal here: none is worth a commit by itself."""
        return bool(self._taken)

    @property
    def full(self) -> bool:
        """By the candles that wait."""
        return self._count >= _MANY

    def take(self, batches: Mapping[int, list[Message]]) -> None:
        """Keep what they leave."""
        for partition, messages in batches.items():
            self._take(partition, messages)
        self._moved(batches)
        if self._count >= _REDUCE_AT:
            self._reduce()

    def _take(self, partition: int, messages: list[Message]) -> None:
        found = records.candles(messages)
        for bad in found.bad[:_NAMED]:
            log.warning(
                "no candle, left out: %s, partition %d, offset %s, key %r",
                self.origin.topic,
                partition,
                bad.offset(),
                (bad.key() or b"")[:200],
            )
        if found.bad:
            self._context.metrics.count("homma_records_invalid", len(found.bad), self._name)
        self._must_not_be_split(found.records)
        self._clocks = newest.advance(self._clocks, found.records)
        self._taken.append(found.records)
        self._count += found.records.height
        self._records += found.records.height

    def at_end(self, partition: int, offset: int) -> None:
        """Nothing: see `pending`."""
        del partition, offset

    def _must_not_be_split(self, found: pl.DataFrame) -> None:
        scattered = newest.split(self._clocks, found)
        if scattered is not None:
            source, symbol, partitions = scattered
            raise SplitSeries(
                f"candles of {source}:{symbol} stand in partitions "
                f"{' and '.join(map(str, partitions))} of {self.origin.topic}, two halves each",
                "key the ticks SOURCE:SYMBOL where they are produced, or start the engine with "
                "--rekey --rebuild",
            )

    def _reduce(self) -> pl.DataFrame:
        reduced = newest.reduce(pl.concat(self._taken))
        if reduced.superseded:
            self._context.metrics.count("homma_records_superseded", reduced.superseded, self._name)
        self._taken, self._count = [reduced.records], reduced.records.height
        return reduced.records

    def cut_batch(self) -> Callable[[], None]:
        """What replaces what has changed, and all open rows."""
        taken = CandleBatch(self._reduce(), self._clocks, dict(self.position), self._records)
        self._taken, self._count, self._records = [], 0, 0
        return lambda: self._replace(taken)

    def _replace(self, taken: CandleBatch) -> None:
        self._commit(lambda again: self._prepared(taken, again=again), taken.position)
        self._settle(self._planned)
        self._context.metrics.count("homma_candles_landed", taken.count, self._name)

    def _prepared(self, taken: CandleBatch, *, again: bool) -> Prepared:
        if again:
            # Another engine has rewritten files, or even rows.
            self._restore()
        reduced = taken.reduced
        found = self._final_rows(reduced)
        change = newest.merge(
            self._open, self._matching(found, reduced), reduced, taken.clocks, self._rules
        )
        hit = [(part, rows) for part, rows in found if _has(rows, change.dropped)]
        left = [rows.join(change.dropped, on=CANDLE_KEY, how="anti") for _, rows in hit]
        rows = pl.concat([change.open, change.final, *left])
        gone = [*self.table.parts(Where(final=False)), *(part for part, _ in hit)]
        self._planned = change
        return Prepared(self.table.upload(rows), gone)

    def _final_rows(self, reduced: pl.DataFrame) -> list[tuple[Part, pl.DataFrame]]:
        """The files in which final rows of these candles may stand."""
        at = pl.col("date_time").dt.epoch("us")
        old = reduced.filter(at <= self._final_until_us).join(self._open, on=CANDLE_KEY, how="anti")
        if old.is_empty():
            return []
        starts = old.select(at.unique().sort()).to_series().to_list()
        where = (
            Where(final=True, at_us=tuple(starts))
            if len(starts) <= _ALL_AT
            else Where(final=True, since_us=starts[0], until_us=starts[-1] + 1)
        )
        return [(part, self.table.read([part])) for part in self.table.parts(where)]

    def _matching(
        self, found: Sequence[tuple[Part, pl.DataFrame]], reduced: pl.DataFrame
    ) -> pl.DataFrame:
        rows = [rows.join(reduced, on=CANDLE_KEY, how="semi") for _, rows in found]
        return pl.concat([self._open.clear(), *rows])

    def _settle(self, change: CandleChange) -> None:
        self._open = change.open
        if change.final.height:
            latest = change.final.select(pl.col("date_time").dt.epoch("us").max()).item()
            self._final_until_us = max(self._final_until_us, latest)
        for row in change.kept.head(_NAMED).iter_rows(named=True):
            log.warning(
                "kept as it was, since a record without revision would make it smaller: %s of "
                "%s:%s at %s; see `homma repair`",
                self._name,
                row["source"],
                row["symbol"],
                row["date_time"].isoformat(),
            )
        if change.kept.height:
            self._context.metrics.count("homma_records_superseded", change.kept.height, self._name)


def _has(rows: pl.DataFrame, keys: pl.DataFrame) -> bool:
    return not rows.join(keys, on=CANDLE_KEY, how="semi").is_empty()
