"""The sink of the tick topic."""

from collections.abc import Mapping

from homma.core.tick import TickRules
from homma.lake.land.buffers import TickBatch, TickBuffer
from homma.lake.land.iceberg.committing import PreparedCommit
from homma.lake.land.iceberg.table_sink import SinkContext, TableSink
from homma.lake.land.sink import Pending, SourceTopic
from homma.lake.table import Table
from homma.topics.kafka.reading import Message


class TickSink(TableSink):
    """Appends valid ticks, each once."""

    def __init__(
        self,
        table: Table,
        source: SourceTopic,
        context: SinkContext,
        commit_every_s: float,
        rules: TickRules,
    ) -> None:
        super().__init__(table, source, context, commit_every_s)
        self._buffer = TickBuffer(context.metrics, rules)

    @property
    def pending(self) -> Pending:
        """Whether offsets have advanced, or many rows wait."""
        return self._buffer.pending(self.position)

    def take(self, records: Mapping[int, list[Message]], ends: Mapping[int, int]) -> None:
        """Buffer the valid ticks of records."""
        self._buffer.take(records, ends)

    def cut(self) -> TickBatch:
        """All ticks so far."""
        return self._buffer.cut()

    def commit(self, batch: TickBatch) -> None:
        """Append the ticks of a batch."""
        self._commit(lambda _: PreparedCommit(self._table.upload(batch.rows)), batch.position)
        self._context.metrics.count("homma_ticks_landed", batch.rows.height)
        self._maintain_if_due()
