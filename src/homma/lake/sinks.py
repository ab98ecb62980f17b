"""What is done with the records of a topic to have them in its table."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from homma.errors import CommitRefused, CommitUnknown, LakeUnreachable
from homma.failpoint import Reached, Step
from homma.lake import compaction, records
from homma.lake.committing import Committer, Prepare, Prepared, RetryPolicy
from homma.lake.offsets import Offsets
from homma.lake.schema import TICKS
from homma.lake.table import EVERYTHING, Table, Where
from homma.metrics import Metrics
from homma.topics.kafka.reading import Message

#: So many rows are committed before their time: they fill the memory.
_MANY: Final = 100_000
#: So many snapshots stay.
_SNAPSHOTS: Final = 5
_SWEEP_EVERY_S: Final = 600.0

log = logging.getLogger("homma.land")


@dataclass(frozen=True, slots=True)
class SourceTopic:
    """The topic that a table is filled from, as it was found."""

    topic: str
    topic_id: str

    @property
    def nothing(self) -> Offsets:
        """What a table says that holds nothing of it yet."""
        return Offsets(self.topic, self.topic_id, MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What the sinks of a process share."""

    patience: RetryPolicy
    metrics: Metrics
    reached: Reached
    #: How long files stay that no snapshot needs.
    keep_s: float
    #: Commits of a table from one tidying to the next.
    maintain_every: int
    clock_s: Callable[[], float] = time.monotonic
    now_s: Callable[[], float] = time.time


class Sink(ABC):
    """A topic on its way into its table; `every_s` is how often that is committed to."""

    #: The rows whose files may be put together: others are replaced anyway.
    lasting: Where = EVERYTHING

    def __init__(
        self, table: Table, origin: SourceTopic, context: SinkContext, every_s: float
    ) -> None:
        self.origin = origin
        self.every_s = every_s
        self.table = table
        #: Of each partition the offset after the last record taken.
        self.position: dict[int, int] = {}
        self._context = context
        self._commits = 0
        self._sweep_s = context.clock_s()
        self._committer = Committer(table, context.patience, context.reached, self._count_commit)
        self._committer.claim()

    @property
    def believed(self) -> Offsets:
        """How far the table holds the topic, as far as this sink knows."""
        return self._committer.believed or self.origin.nothing

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether there is something to commit."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether that is so much that it cannot wait."""

    @abstractmethod
    def take(self, batches: Mapping[int, list[Message]]) -> None:
        """Records by partition, none empty, in the order of their offsets."""

    @abstractmethod
    def at_end(self, partition: int, offset: int) -> None:
        """The partition ends before this offset for now."""

    def show_lag(self, ends: Mapping[int, int]) -> None:
        """Tell how many offsets the table lacks, with the ends of the partitions as they are."""
        held = self.believed.next
        # What a compacted topic has lost counts as well, until the first commit.
        lag = sum(max(0, end - held.get(partition, 0)) for partition, end in ends.items())
        self._context.metrics.show("homma_lake_lag_records", lag, self.table.spec.name)

    @abstractmethod
    def cut_batch(self) -> Callable[[], None]:
        """What commits all that was taken so far; what is taken meanwhile is for the next time.

        It may run in another thread, but not before the one before it has ended.
        """

    def land(self) -> None:
        """Commit all that was taken so far."""
        self.cut_batch()()

    def _moved(self, batches: Mapping[int, list[Message]]) -> None:
        for partition, messages in batches.items():
            self.position[partition] = (messages[-1].offset() or 0) + 1

    def _commit(self, prepare: Prepare, position: Mapping[int, int]) -> None:
        began_s = self._context.clock_s()
        self._committer.commit(prepare, self.believed.moved(position))
        self._context.metrics.observe(
            "homma_lake_commit_seconds", self._context.clock_s() - began_s
        )
        self._commits += 1

    @property
    def maintenance_due(self) -> bool:
        """Whether it is time for `tidy`."""
        return self._commits >= self._context.maintain_every

    def maintain(self) -> None:
        """Keep the table small. What cannot be done now is left for the next time."""
        self._commits = 0
        try:
            self._maintained()
        except (CommitRefused, CommitUnknown, LakeUnreachable) as error:
            log.warning("upkeep is put off: %s", error)

    def _maintained(self) -> None:
        reached, metrics, name = self._context.reached, self._context.metrics, self.table.spec.name
        self.table.expire(_SNAPSHOTS)
        reached(Step.EXPIRED)
        parts = self.table.parts(self.lasting)
        metrics.show("homma_lake_files", len(parts), name)
        group = compaction.next_group(parts)
        if group:
            self._committer.compact(group)
            reached(Step.COMPACTED)
        keep_s, now_s = self._context.keep_s, self._context.clock_s()
        if now_s < self._sweep_s:
            return
        self._sweep_s = now_s + min(keep_s / 6, _SWEEP_EVERY_S)
        deleted = self.table.sweep(keep_s, self._context.now_s(), lambda: reached(Step.SWEEPING))
        metrics.count("homma_lake_files_deleted", deleted)

    def _count_commit(self, outcome: str) -> None:
        self._context.metrics.count("homma_lake_commits", 1, self.table.spec.name, outcome)


class TickSink(Sink):
    """Valid ticks are appended, each once."""

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
    def pending(self) -> bool:
        """Offsets alone are worth a commit: retention that passes them then shows no loss."""
        return any(self.believed.next.get(p) != at for p, at in self.position.items())

    @property
    def full(self) -> bool:
        """By the rows that wait."""
        return self._count >= _MANY

    def take(self, batches: Mapping[int, list[Message]]) -> None:
        """Keep those that are valid."""
        rows = records.ticks(batches, self._max_future_us)
        self._rows.append(rows)
        self._count += rows.height
        self._context.metrics.count("homma_ticks_read", rows.height)
        self._moved(batches)

    def at_end(self, partition: int, offset: int) -> None:
        """Go past the marks of transactions too, which are no records."""
        self.position[partition] = max(self.position.get(partition, 0), offset)

    def cut_batch(self) -> Callable[[], None]:
        """What appends them, with where they stood."""
        rows, position = self._rows, dict(self.position)
        self._rows, self._count = [], 0
        return lambda: self._append(rows, position)

    def _append(self, taken: list[pl.DataFrame], position: Mapping[int, int]) -> None:
        rows = pl.concat([pl.DataFrame(schema=TICKS.schema), *taken])
        self._commit(lambda _: Prepared(self.table.upload(rows)), position)
        self._context.metrics.count("homma_ticks_landed", rows.height)


def leave_to(other: str, table: Table, origin: SourceTopic, context: SinkContext) -> None:
    """Make a table another writer's own, who goes by its name and by the offsets in it."""
    if table.sink() != other:
        committer = Committer(table, context.patience, context.reached, lambda _: None, sink=other)
        committer.claim(origin.nothing)
