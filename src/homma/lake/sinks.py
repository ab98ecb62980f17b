"""What is done with the records of a topic to have them in its table."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from homma.failpoint import Reached
from homma.lake import records
from homma.lake.committing import Committer, Patience, Prepare, Prepared
from homma.lake.offsets import Offsets
from homma.lake.schema import TICKS
from homma.lake.table import Table
from homma.metrics import Metrics
from homma.topics.kafka.reading import Message

#: So many rows are committed before their time: they fill the memory.
_MANY: Final = 400_000


@dataclass(frozen=True, slots=True)
class Origin:
    """The topic that a table is filled from, as it was found."""

    topic: str
    topic_id: str


@dataclass(frozen=True, slots=True)
class Workplace:
    """What the sinks of a process share."""

    patience: Patience
    metrics: Metrics
    reached: Reached
    clock_s: Callable[[], float] = time.monotonic


class Sink(ABC):
    """A topic on its way into its table; `every_s` is how often that is committed to."""

    def __init__(self, table: Table, origin: Origin, place: Workplace, every_s: float) -> None:
        self.origin = origin
        self.every_s = every_s
        self.table = table
        #: Of each partition the offset after the last record taken.
        self.position: dict[int, int] = {}
        self._place = place
        self._committer = Committer(table, place.patience, place.reached, self._count_commit)

    @property
    def believed(self) -> Offsets:
        """How far the table holds the topic, as far as this sink knows."""
        return self._committer.believed or Offsets(
            self.origin.topic, self.origin.topic_id, MappingProxyType({})
        )

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether there is something to commit."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether that is so much that it cannot wait."""

    @abstractmethod
    def take(self, partition: int, messages: list[Message]) -> None:
        """Records of a partition, in the order of their offsets."""

    @abstractmethod
    def at_end(self, partition: int, offset: int) -> None:
        """The partition ends before this offset for now."""

    @abstractmethod
    def land(self) -> None:
        """Commit all that was taken."""

    def _commit(self, prepare: Prepare) -> None:
        began_s = self._place.clock_s()
        self._committer.commit(prepare, self.believed.moved(self.position))
        self._place.metrics.observe("homma_lake_commit_seconds", self._place.clock_s() - began_s)

    def _count_commit(self, outcome: str) -> None:
        self._place.metrics.count("homma_lake_commits", 1, self.table.spec.name, outcome)


class TickSink(Sink):
    """Valid ticks are appended, each once."""

    def __init__(
        self, table: Table, origin: Origin, place: Workplace, every_s: float, max_future_us: int
    ) -> None:
        super().__init__(table, origin, place, every_s)
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

    def take(self, partition: int, messages: list[Message]) -> None:
        """Keep those that are valid."""
        rows = records.ticks(messages, self._max_future_us)
        self._rows.append(rows)
        self._count += rows.height
        self.position[partition] = (messages[-1].offset() or 0) + 1

    def at_end(self, partition: int, offset: int) -> None:
        """Go past the marks of transactions too, which are no records."""
        self.position[partition] = max(self.position.get(partition, 0), offset)

    def land(self) -> None:
        """Append them, with where they stood."""
        rows = pl.concat([pl.DataFrame(schema=TICKS.schema), *self._rows])
        self._commit(lambda _: Prepared(self.table.upload(rows)))
        self._rows, self._count = [], 0
        self._place.metrics.count("homma_ticks_landed", rows.height)
