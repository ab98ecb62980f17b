"""The sink of a candle topic."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.finality import FinalityRules
from homma.core.series import BEFORE_ALL_US
from homma.errors import SplitSeries
from homma.lake.land import newest, records
from homma.lake.land.committing import PreparedCommit
from homma.lake.land.newest import CandleChange
from homma.lake.land.sinks import Sink, SinkContext, SourceTopic
from homma.lake.schema import CANDLE_KEY
from homma.lake.table import Part, Table, Where
from homma.topics import precedence
from homma.topics.kafka.reading import Message

log = logging.getLogger("homma.land")

#: Commit early at this number of candles, to bound memory.
_MAX_CANDLES: Final = 100_000
#: Reduce buffered records at this number.
_REDUCE_AT: Final = 50_000
#: Maximum number of start times in a filter; above it, their range is read.
_MAX_STARTS: Final = 200
_MAX_LOGGED: Final = 5


@dataclass(frozen=True, slots=True)
class CandleBatch:
    """A batch to commit: one record per key, the series' times and the offsets at that moment."""

    reduced: pl.DataFrame
    times: pl.DataFrame
    position: Mapping[int, int]
    count: int


class CandleSink(Sink):
    """Writes one row per candle, open candles included, and replaces rows that change."""

    compactable = Where(final=True)

    def __init__(
        self,
        table: Table,
        origin: SourceTopic,
        context: SinkContext,
        every_s: float,
        rules: FinalityRules,
    ) -> None:
        super().__init__(table, origin, context, every_s)
        assert table.spec.interval is not None
        self._interval = table.spec.interval
        self._rules = rules
        self._name = self._interval.name
        self._batches: list[pl.DataFrame] = []
        self._count = 0
        self._records = 0
        self._restore()
        self._times = newest.times_of(self._open)

    def _restore(self) -> None:
        """Restore the state, which is the table's open rows."""
        self._open = self.table.read(self.table.parts(Where(final=False)))
        self._final_until_us = max(
            (part.newest_us for part in self.table.parts(Where(final=True))),
            default=BEFORE_ALL_US,
        )

    @property
    def needs_commit(self) -> bool:
        """Whether records wait. Offsets alone need no commit: candle topics are compacted."""
        return bool(self._batches)

    @property
    def is_full(self) -> bool:
        """Whether many candles wait."""
        return self._count >= _MAX_CANDLES

    def add(self, batches: Mapping[int, list[Message]]) -> None:
        """Buffer the candles of records."""
        for partition, messages in batches.items():
            self._add_partition(partition, messages)
        self._advance(batches)
        if self._count >= _REDUCE_AT:
            self._reduce()

    def _add_partition(self, partition: int, messages: list[Message]) -> None:
        parsed = records.candles(messages)
        for invalid in parsed.invalid[:_MAX_LOGGED]:
            log.warning(
                "skipped a record that is not a candle: %s, partition %d, offset %s, key %r",
                self.origin.topic,
                partition,
                invalid.offset(),
                (invalid.key() or b"")[:200],
            )
        if parsed.invalid:
            self._context.metrics.count("homma_records_invalid", len(parsed.invalid), self._name)
        self._check_not_split(parsed.records)
        self._times = newest.advance(self._times, parsed.records)
        self._batches.append(parsed.records)
        self._count += parsed.records.height
        self._records += parsed.records.height

    def on_partition_end(self, partition: int, offset: int) -> None:
        """Do nothing: offsets alone need no commit."""
        del partition, offset

    def _check_not_split(self, rows: pl.DataFrame) -> None:
        split = newest.find_split_series(self._times, rows)
        if split is not None:
            source, symbol, partitions = split
            raise SplitSeries(
                f"candles of {source}:{symbol} are in partitions "
                f"{' and '.join(map(str, partitions))} of {self.origin.topic}, so each "
                "partition has only part of each candle's ticks",
                "produce the ticks with the key SOURCE:SYMBOL, or start the engine with "
                "--rekey --rebuild",
            )

    def _reduce(self) -> pl.DataFrame:
        reduced = precedence.reduce(pl.concat(self._batches), CANDLE_KEY)
        if reduced.superseded:
            self._context.metrics.count("homma_records_superseded", reduced.superseded, self._name)
        self._batches, self._count = [reduced.records], reduced.records.height
        return reduced.records

    def cut_batch(self) -> Callable[[], None]:
        """The commit that replaces changed rows and all open rows."""
        batch = CandleBatch(self._reduce(), self._times, dict(self.position), self._records)
        self._batches, self._count, self._records = [], 0, 0
        return lambda: self._replace(batch)

    def _replace(self, batch: CandleBatch) -> None:
        self._commit(lambda reloaded: self._prepare(batch, reloaded=reloaded), batch.position)
        self._apply(self._change)
        self._context.metrics.count("homma_candles_landed", batch.count, self._name)

    def _prepare(self, batch: CandleBatch, *, reloaded: bool) -> PreparedCommit:
        if reloaded:
            # Another engine has rewritten files, or even rows.
            self._restore()
        reduced = batch.reduced
        final_files = self._read_final_files(reduced)
        change = newest.merge(
            self._open,
            self._matching(final_files, reduced),
            reduced,
            batch.times,
            self._interval,
            self._rules,
        )
        changed_files = [
            (part, rows) for part, rows in final_files if _has_keys(rows, change.removed)
        ]
        unchanged_rows = [
            rows.join(change.removed, on=CANDLE_KEY, how="anti") for _, rows in changed_files
        ]
        rows = pl.concat([change.open, change.final, *unchanged_rows])
        removed = [*self.table.parts(Where(final=False)), *(part for part, _ in changed_files)]
        self._change = change
        return PreparedCommit(self.table.upload(rows), removed)

    def _read_final_files(self, reduced: pl.DataFrame) -> list[tuple[Part, pl.DataFrame]]:
        """The files that may contain final rows of these candles, with their rows."""
        start_us = pl.col("date_time").dt.epoch("us")
        candidates = reduced.filter(start_us <= self._final_until_us).join(
            self._open, on=CANDLE_KEY, how="anti"
        )
        if candidates.is_empty():
            return []
        starts = candidates.select(start_us.unique().sort()).to_series().to_list()
        where = (
            Where(final=True, at_us=tuple(starts))
            if len(starts) <= _MAX_STARTS
            else Where(final=True, since_us=starts[0], until_us=starts[-1] + 1)
        )
        return [(part, self.table.read([part])) for part in self.table.parts(where)]

    def _matching(
        self, final_files: Sequence[tuple[Part, pl.DataFrame]], reduced: pl.DataFrame
    ) -> pl.DataFrame:
        rows = [rows.join(reduced, on=CANDLE_KEY, how="semi") for _, rows in final_files]
        return pl.concat([self._open.clear(), *rows])

    def _apply(self, change: CandleChange) -> None:
        self._open = change.open
        if change.final.height:
            latest = change.final.select(pl.col("date_time").dt.epoch("us").max()).item()
            self._final_until_us = max(self._final_until_us, latest)
        for row in change.retained.head(_MAX_LOGGED).iter_rows(named=True):
            log.warning(
                "ignored a record without revision and with a smaller volume: %s candle of "
                "%s:%s at %s; see `homma repair`",
                self._name,
                row["source"],
                row["symbol"],
                row["date_time"].isoformat(),
            )
        if change.retained.height:
            self._context.metrics.count(
                "homma_records_superseded", change.retained.height, self._name
            )


def _has_keys(rows: pl.DataFrame, keys: pl.DataFrame) -> bool:
    return not rows.join(keys, on=CANDLE_KEY, how="semi").is_empty()
