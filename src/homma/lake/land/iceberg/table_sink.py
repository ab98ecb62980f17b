"""What the sinks of ticks and candles have in common: commits to a table, and its maintenance."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from homma.errors import CommitRefused, CommitUnknown, LakeUnreachable
from homma.failpoint import OnStep, Step
from homma.lake.land.iceberg import compaction
from homma.lake.land.iceberg.committing import Committer, Prepare, RetryPolicy
from homma.lake.land.sink import SourceTopic
from homma.lake.table import EVERYTHING, Table, Where
from homma.lake.table.offsets import Offsets
from homma.metrics import Metrics

#: Number of snapshots to keep.
_SNAPSHOTS: Final = 5
_SWEEP_EVERY_S: Final = 600.0

log = logging.getLogger("homma.land")


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


def no_offsets(source: SourceTopic) -> Offsets:
    """The offsets of a table that has no records of a topic yet."""
    return Offsets(source.topic, source.topic_id, MappingProxyType({}))


class TableSink:
    """The part of a `Sink` that does not depend on what the rows are. Claims the table."""

    #: The rows whose files may be compacted; others are replaced by every commit.
    compactable: Where = EVERYTHING

    def __init__(
        self, table: Table, source: SourceTopic, context: SinkContext, commit_every_s: float
    ) -> None:
        self.source = source
        self.name = table.name
        self.label = table.spec.name
        self.commit_every_s = commit_every_s
        self._table = table
        self._context = context
        self._commits = 0
        self._sweep_s = context.clock_s()
        self._committer = Committer(table, context.retry, context.on_step, self._count_commit)
        self._committer.claim()

    @property
    def _offsets(self) -> Offsets:
        return self._committer.known_offsets or no_offsets(self.source)

    @property
    def position(self) -> Mapping[int, int]:
        """The offsets in the table, as far as this sink knows."""
        return self._offsets.next

    def _commit(self, prepare: Prepare, position: Mapping[int, int]) -> None:
        began_s = self._context.clock_s()
        self._committer.commit(prepare, self._offsets.advanced(position))
        self._context.metrics.observe(
            "homma_lake_commit_seconds", self._context.clock_s() - began_s
        )
        self._commits += 1

    def _count_commit(self, outcome: str) -> None:
        self._context.metrics.count("homma_lake_commits", 1, self.label, outcome)

    def _maintain_if_due(self) -> None:
        if self._commits >= self._context.maintain_every:
            self.maintain()

    def maintain(self) -> None:
        """Expire snapshots, compact and delete files; after an error, the next run does it."""
        self._commits = 0
        try:
            self._run_maintenance()
        except (CommitRefused, CommitUnknown, LakeUnreachable) as error:
            log.warning("maintenance is postponed: %s", error)

    def _run_maintenance(self) -> None:
        on_step, metrics = self._context.on_step, self._context.metrics
        self._table.expire(_SNAPSHOTS)
        on_step(Step.EXPIRED)
        parts = self._table.parts(self.compactable)
        metrics.set("homma_lake_files", len(parts), self.label)
        parts_to_merge = compaction.next_group(parts)
        if parts_to_merge:
            self._committer.compact(parts_to_merge)
            on_step(Step.COMPACTED)
        orphan_retention_s, now_s = self._context.orphan_retention_s, self._context.clock_s()
        if now_s < self._sweep_s:
            return
        self._sweep_s = now_s + min(orphan_retention_s / 6, _SWEEP_EVERY_S)
        deleted = self._table.sweep(
            orphan_retention_s, self._context.now_s(), lambda: on_step(Step.SWEEPING)
        )
        metrics.count("homma_lake_files_deleted", deleted)
