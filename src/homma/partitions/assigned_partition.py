"""One partition of the ticks and its phase, from its assignment to its revocation.

                          failed
               ┌───────────────────────────┐
    assigned   ▼              opened       │   task is full
    ───────▶ WAITING ──▶ OPENING ──▶ READING ◀───────────▶ PAUSED
               ▲            │                                │
               └────────────┴────────────────────────────────┘
                          failed

A partition may be revoked in every phase. Only the loop's thread changes a phase. Nothing here
calls the consumer: `partitions/loop.py`, `opening.py` and `publishing.py` do so.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, Generic

from homma.errors import InternalError
from homma.partitions.parsing import PolledRecords
from homma.partitions.stage import Batch, PartitionTask, Stage
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Message, Reader

#: How long Kafka waits for the heartbeat of a member before it assigns the member's partitions to
#: others. A shorter session moves the partitions of a killed engine sooner; brokers refuse less
#: than this by default (`group.min.session.timeout.ms`).
SESSION_MS: Final = 6_000


class Phase(Enum):
    """The phases of a partition."""

    #: The partition does not belong to this process.
    REVOKED = "revoked"
    #: It is to be opened from some moment on.
    WAITING = "waiting"
    #: Another thread takes it over and restores its task.
    OPENING = "opening"
    #: Its records are read, applied and committed.
    READING = "reading"
    #: Its records are applied and committed, but no more of them are read for now.
    PAUSED = "paused"


#: The phases that may follow each phase.
_NEXT: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.REVOKED: frozenset({Phase.WAITING, Phase.REVOKED}),
    Phase.WAITING: frozenset({Phase.WAITING, Phase.OPENING, Phase.REVOKED}),
    Phase.OPENING: frozenset({Phase.READING, Phase.WAITING, Phase.REVOKED}),
    Phase.READING: frozenset({Phase.READING, Phase.PAUSED, Phase.WAITING, Phase.REVOKED}),
    Phase.PAUSED: frozenset({Phase.READING, Phase.WAITING, Phase.REVOKED}),
}


class AssignedPartition(Generic[Batch]):
    """What the loop knows about one partition.

    The object outlives a revocation, because the group may assign the partition again: with
    `until_end`, its work ends at the offset that was the end when it was first opened.
    """

    def __init__(self, number: int, stage: Stage[Batch]) -> None:
        self.number = number
        self.phase = Phase.REVOKED
        #: With `until_end`: the offset to stop at, once the partition has been opened.
        self.stop_offset: int | None = None
        self._stage = stage
        self._open_from_us = 0
        self._reader: Reader | None = None
        self._task: PartitionTask[Batch] | None = None
        self._polled: PolledRecords[Batch] | None = None

    def is_due(self, monotonic_us: int) -> bool:
        """Whether it is time to open the partition."""
        return self.phase is Phase.WAITING and monotonic_us >= self._open_from_us

    @property
    def is_open(self) -> bool:
        """Whether the partition has a task."""
        return self._task is not None

    @property
    def task(self) -> PartitionTask[Batch]:
        """The task of an open partition."""
        if self._task is None:
            raise InternalError(f"partition {self.number} has no task: it is {self.phase.value}")
        return self._task

    @property
    def is_at_stop(self) -> bool:
        """Whether an open partition has applied all records before `stop_offset`."""
        return self.stop_offset is not None and self.task.offset >= self.stop_offset

    # --- the phases ----------------------------------------------------------------------------

    def wait(self, open_from_us: int) -> None:
        """Open the partition from a moment on: after it was assigned, or after an error."""
        self._enter(Phase.WAITING)
        self._close_task()
        self._open_from_us = open_from_us

    def start_opening(self, config: Connection) -> Reader:
        """The reader to restore with: its own, so that partitions are restored in parallel."""
        self._enter(Phase.OPENING)
        if self._reader is None:
            self._reader = Reader(config)
        return self._reader

    def open(self, task: PartitionTask[Batch], stop_offset: int | None) -> None:
        """Set the restored task."""
        self._enter(Phase.READING)
        self._task, self.stop_offset = task, stop_offset

    def pause(self) -> None:
        """Read no more records for now."""
        self._enter(Phase.PAUSED)

    def read_on(self) -> None:
        """Read more records, or read records again after a rollback."""
        self._enter(Phase.READING)

    def revoke(self) -> None:
        """Release everything; does nothing if the partition is revoked already."""
        self._enter(Phase.REVOKED)
        self._close_task()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _enter(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise InternalError(
                f"partition {self.number} cannot change from {self.phase.value} to {phase.value}"
            )
        self.phase = phase

    def _close_task(self) -> None:
        task, self._task, self._polled = self._task, None, None
        if task is not None:
            task.close()
            self._stage.on_revoked(self.number)

    # --- the records ---------------------------------------------------------------------------

    @property
    def polled_count(self) -> int:
        """The number of records that were polled and are not being parsed yet."""
        return len(self._polled.messages) if self._polled else 0

    def add(self, messages: list[Message], monotonic_us: int) -> None:
        """Add polled records. They are ignored if the partition is not open."""
        if polled := self._polled_since(monotonic_us):
            polled.messages.extend(messages)
            polled.end_reached_us = None

    def reach_end(self, monotonic_us: int) -> None:
        """Note that no record is left for now."""
        if polled := self._polled_since(monotonic_us):
            polled.end_reached_us = monotonic_us

    def _polled_since(self, monotonic_us: int) -> PolledRecords[Batch] | None:
        if self._polled is None and self._task is not None:
            self._polled = PolledRecords(self._task, monotonic_us)
        return self._polled

    def take_polled(self) -> PolledRecords[Batch] | None:
        """The polled records, which are the caller's from now on."""
        polled, self._polled = self._polled, None
        return polled

    def apply(self, records: PolledRecords[Batch], batch: Batch | None) -> None:
        """Apply records in the order in which they were taken; `batch` is None if there are none.

        Records polled for an earlier task are ignored: its successor reads them again.
        """
        if records.task is not self._task:
            return
        if batch is not None:
            records.task.apply(batch, records.polled_us)
            self._stage.on_applied(records.task)
        if records.end_reached_us is None:
            return
        records.task.at_end(records.end_reached_us)
        if self.stop_offset is not None:
            # Transaction markers may be the last offsets: no record is left to reach them.
            self.stop_offset = min(self.stop_offset, records.task.offset)
