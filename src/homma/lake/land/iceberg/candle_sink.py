"""The sink of a candle topic."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from homma.core.finality import FinalityRules
from homma.core.series import BEFORE_ALL_US
from homma.lake.land import newest
from homma.lake.land.buffers import CandleBatch, CandleBuffer
from homma.lake.land.iceberg.committing import PreparedCommit
from homma.lake.land.iceberg.table_sink import SinkContext, TableSink
from homma.lake.land.newest import CandleChange, RecordRows
from homma.lake.land.sink import Pending, SourceTopic
from homma.lake.schema import CANDLE_KEY, CandleRows
from homma.lake.table import Part, Table, Where
from homma.topics.kafka.reading import Message

log = logging.getLogger("homma.land")

#: Maximum number of start times in a filter; above it, their range is read.
_MAX_STARTS: Final = 200
_MAX_LOGGED: Final = 5


class CandleSink(TableSink):
    """Writes one row per candle, open candles included, and replaces rows that change."""

    compactable = Where(final=True)

    def __init__(
        self,
        table: Table,
        source: SourceTopic,
        context: SinkContext,
        commit_every_s: float,
        rules: FinalityRules,
    ) -> None:
        super().__init__(table, source, context, commit_every_s)
        self._rules = rules
        assert table.spec.interval is not None
        self._interval = table.spec.interval
        self._restore()
        self._buffer = CandleBuffer(source, context.metrics, newest.times_of(self._open))

    def _restore(self) -> None:
        """Restore the state, which is the table's open rows."""
        self._open = self._table.read(self._table.parts(Where(final=False)))
        self._final_until_us = max(
            (part.newest_us for part in self._table.parts(Where(final=True))),
            default=BEFORE_ALL_US,
        )

    @property
    def pending(self) -> Pending:
        """Whether records wait, and many of them."""
        return self._buffer.pending

    def take(self, records: Mapping[int, list[Message]], ends: Mapping[int, int]) -> None:
        """Buffer the candles of records. Offsets alone need no commit."""
        del ends
        self._buffer.take(records)

    def cut(self) -> CandleBatch:
        """All candles so far, one record per key."""
        return self._buffer.cut()

    def commit(self, batch: CandleBatch) -> None:
        """Replace the rows that a batch changes, and all open rows."""
        self._commit(lambda reloaded: self._prepare(batch, reloaded=reloaded), batch.position)
        self._apply(self._change)
        self._context.metrics.count("homma_candles_landed", batch.count, self._interval.name)
        self._maintain_if_due()

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
        removed = [*self._table.parts(Where(final=False)), *(part for part, _ in changed_files)]
        self._change = change
        return PreparedCommit(self._table.upload(rows), removed)

    def _read_final_files(self, reduced: RecordRows) -> list[tuple[Part, CandleRows]]:
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
        return [(part, self._table.read([part])) for part in self._table.parts(where)]

    def _matching(
        self, final_files: Sequence[tuple[Part, CandleRows]], reduced: RecordRows
    ) -> CandleRows:
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
                self._interval.name,
                row["source"],
                row["symbol"],
                row["date_time"].isoformat(),
            )
        if change.retained.height:
            self._context.metrics.count(
                "homma_records_superseded", change.retained.height, self._interval.name
            )


def _has_keys(rows: CandleRows, keys: pl.DataFrame) -> bool:
    return not rows.join(keys, on=CANDLE_KEY, how="semi").is_empty()
