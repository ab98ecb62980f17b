"""Sinks: each writes the records of one topic to its table."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from homma.errors import CommitRefused, CommitUnknown, LakeUnreachable
from homma.failpoint import OnStep, Step
from homma.lake.land import compaction, records
from homma.lake.land.committing import Committer, Prepare, PreparedCommit, RetryPolicy
from homma.lake.schema import TICKS
from homma.lake.table import EVERYTHING, Table, Where
from homma.lake.table.offsets import Offsets
from homma.metrics import Metrics
from homma.topics.kafka.reading import Message

#: Commit early at this number of rows, to bound memory.
_MAX_ROWS: Final = 100_000
#: Number of snapshots to keep.
_SNAPSHOTS: Final = 5
_SWEEP_EVERY_S: Final = 600.0

log = logging.getLogger("homma.land")


@dataclass(frozen=True, slots=True)
class SourceTopic:
    """The topic of a table, with its id in Kafka."""

    topic: str
    topic_id: str

    @property
    def no_offsets(self) -> Offsets:
        """The offsets of a table that is empty so far."""
        return Offsets(self.topic, self.topic_id, MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class SinkContext:
    """Settings and metrics that the sinks of a process share."""

    retry: RetryPolicy
    metrics: Metrics
    on_step: OnStep
    #: How long files stay that no snapshot references.
    orphan_retention_s: float
    #: Number of commits to a table between maintenance runs.
    maintain_every: int
    clock_s: Callable[[], float] = time.monotonic
    now_s: Callable[[], float] = time.time


class Sink(ABC):
    """Writes a topic to its table; `every_s` is the commit interval."""

    #: The rows whose files may be compacted; others are replaced by every commit.
    compactable: Where = EVERYTHING

    def __init__(
        self, table: Table, origin: SourceTopic, context: SinkContext, every_s: float
    ) -> None:
        self.origin = origin
        self.every_s = every_s
        self.table = table
        #: Per partition, the offset after the last buffered record.
        self.position: dict[int, int] = {}
        self._context = context
        self._commits = 0
        self._sweep_s = context.clock_s()
        self._committer = Committer(table, context.retry, context.on_step, self._count_commit)
        self._committer.claim()

    @property
    def known_offsets(self) -> Offsets:
        """The offsets in the table, as far as this sink knows."""
        return self._committer.known_offsets or self.origin.no_offsets

    @property
    @abstractmethod
    def needs_commit(self) -> bool:
        """Whether a commit is needed."""

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether the buffer is too large to wait for the next commit."""

    @abstractmethod
    def add(self, batches: Mapping[int, list[Message]]) -> None:
        """Buffer records by partition; lists are not empty and ordered by offset."""

    @abstractmethod
    def on_partition_end(self, partition: int, offset: int) -> None:
        """Called at the end of a partition, with its end offset."""

    def show_lag(self, ends: Mapping[int, int]) -> None:
        """Set the lag metric from the end offsets of the partitions."""
        offsets = self.known_offsets.next
        # Until the first commit, offsets that compaction has removed count too.
        lag = sum(max(0, end - offsets.get(partition, 0)) for partition, end in ends.items())
        self._context.metrics.set("homma_lake_lag_records", lag, self.table.spec.name)

    @abstractmethod
    def cut_batch(self) -> Callable[[], None]:
        """A function that commits all records buffered so far; later ones are in the next batch.

        It may run in another thread, after the previous one has ended.
        """

    def land(self) -> None:
        """Commit all records buffered so far."""
        self.cut_batch()()

    def _advance(self, batches: Mapping[int, list[Message]]) -> None:
        for partition, messages in batches.items():
            self.position[partition] = (messages[-1].offset() or 0) + 1

    def _commit(self, prepare: Prepare, position: Mapping[int, int]) -> None:
        began_s = self._context.clock_s()
        self._committer.commit(prepare, self.known_offsets.advanced(position))
        self._context.metrics.observe(
            "homma_lake_commit_seconds", self._context.clock_s() - began_s
        )
        self._commits += 1

    @property
    def maintenance_due(self) -> bool:
        """Whether `maintain` is due."""
        return self._commits >= self._context.maintain_every

    def maintain(self) -> None:
        """Expire snapshots, compact and delete files; after an error, the next run does it."""
        self._commits = 0
        try:
            self._run_maintenance()
        except (CommitRefused, CommitUnknown, LakeUnreachable) as error:
            log.warning("maintenance is postponed: %s", error)

    def _run_maintenance(self) -> None:
        on_step, metrics, name = self._context.on_step, self._context.metrics, self.table.spec.name
        self.table.expire(_SNAPSHOTS)
        on_step(Step.EXPIRED)
        parts = self.table.parts(self.compactable)
        metrics.set("homma_lake_files", len(parts), name)
        parts_to_merge = compaction.next_group(parts)
        if parts_to_merge:
            self._committer.compact(parts_to_merge)
            on_step(Step.COMPACTED)
        orphan_retention_s, now_s = self._context.orphan_retention_s, self._context.clock_s()
        if now_s < self._sweep_s:
            return
        self._sweep_s = now_s + min(orphan_retention_s / 6, _SWEEP_EVERY_S)
        deleted = self.table.sweep(
            orphan_retention_s, self._context.now_s(), lambda: on_step(Step.SWEEPING)
        )
        metrics.count("homma_lake_files_deleted", deleted)

    def _count_commit(self, outcome: str) -> None:
        self._context.metrics.count("homma_lake_commits", 1, self.table.spec.name, outcome)


class TickSink(Sink):
    """Appends valid ticks, each once."""

    def __init__(
        self,
        table: Table,
        origin: SourceTopic,
        context: SinkContext,
        every_s: float,
        max_future_us: int,
    ) -> None:
        super().__init__(table, origin, context, every_s)
        self._max_future_us = max_future_us
        self._rows: list[pl.DataFrame] = []
        self._count = 0

    @property
    def needs_commit(self) -> bool:
        """Whether offsets have advanced; stored, they tell landed offsets from lost ones."""
        return any(self.known_offsets.next.get(p) != at for p, at in self.position.items())

    @property
    def is_full(self) -> bool:
        """Whether many rows wait."""
        return self._count >= _MAX_ROWS

    def add(self, batches: Mapping[int, list[Message]]) -> None:
        """Buffer the valid ticks of records."""
        rows = records.ticks(batches, self._max_future_us)
        self._rows.append(rows)
        self._count += rows.height
        self._context.metrics.count("homma_ticks_read", rows.height)
        self._advance(batches)

    def on_partition_end(self, partition: int, offset: int) -> None:
        """Advance past transaction markers, which are not records."""
        self.position[partition] = max(self.position.get(partition, 0), offset)

    def cut_batch(self) -> Callable[[], None]:
        """The commit that appends the buffered ticks."""
        rows, position = self._rows, dict(self.position)
        self._rows, self._count = [], 0
        return lambda: self._append(rows, position)

    def _append(self, frames: list[pl.DataFrame], position: Mapping[int, int]) -> None:
        rows = pl.concat([pl.DataFrame(schema=TICKS.schema), *frames])
        self._commit(lambda _: PreparedCommit(self.table.upload(rows)), position)
        self._context.metrics.count("homma_ticks_landed", rows.height)


def hand_over(sink: str, table: Table, origin: SourceTopic, context: SinkContext) -> None:
    """Claim a table for another writer, which continues from the offsets in the table."""
    if table.sink() != sink:
        committer = Committer(table, context.retry, context.on_step, lambda _: None, sink=sink)
        committer.claim(origin.no_offsets)
