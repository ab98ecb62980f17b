"""Publishes open partitions: each commits what is due, and is opened again after an error."""

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Final, Generic

from homma.errors import Fenced, KafkaError, OutcomeUnknown
from homma.metrics import Metrics
from homma.partitions.assigned_partition import SESSION_MS, AssignedPartition, Phase
from homma.partitions.stage import Batch, PartitionTask
from homma.topics.kafka.reading import GroupReader

log = logging.getLogger("homma.partitions")

# A fenced task waits until its session has certainly ended, and so the group has decided whether
# the partition still belongs to this process. Two owners would otherwise fence each other in turn.
_FENCED_RETRY_US: Final = (SESSION_MS + 1_000) * 1000
# The longest time of publishing without a poll. The other members wait for a poll of this one
# before partitions can move.
_PUBLISH_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Publishing(Generic[Batch]):
    """Commits the work of open partitions."""

    ticks: GroupReader
    pool: Executor
    metrics: Metrics
    monotonic_us: Callable[[], int]

    def publish_due(self, partitions: Collection[AssignedPartition[Batch]]) -> None:
        """Publish until no open partition has more; then pause those that are full."""
        until_us = self.monotonic_us() + _PUBLISH_US
        while True:
            self.publish([p for p in partitions if p.is_open])
            has_more = any(p.task.has_more for p in partitions if p.is_open)
            if self.monotonic_us() > until_us or not has_more:
                break
        for partition in partitions:
            if partition.is_open:
                self._pause_or_resume(partition)

    def publish(self, partitions: Sequence[AssignedPartition[Batch]]) -> None:
        """Publish open partitions in parallel: most of a transaction is waiting for the broker."""
        now_us, owner = self.monotonic_us(), self.ticks.group_metadata()
        futures = [(p, p.task, self.pool.submit(p.task.publish, now_us, owner)) for p in partitions]
        # Wait for all of them first, so that an error does not leave one running.
        wait([future for _, _, future in futures])
        for partition, task, future in futures:
            self._on_published(partition, future)
            self._report_lag(task)

    def _on_published(self, partition: AssignedPartition[Batch], published: Future[bool]) -> None:
        number = partition.number
        try:
            if not published.result():
                log.warning("partition %d: rolled back, reading again", number)
                partition.read_on()
                self.ticks.start(number, partition.task.offset)
        except Fenced as error:
            self.metrics.count("homma_transactions", 1, "fenced")
            self._reopen(partition, error, _FENCED_RETRY_US)
        except OutcomeUnknown as error:
            self.metrics.count("homma_transactions", 1, "indefinite")
            # At once: taking the partition over shows whether the transaction was committed.
            self._reopen(partition, error, 0)

    def _reopen(
        self, partition: AssignedPartition[Batch], error: KafkaError, after_us: int
    ) -> None:
        log.warning("partition %d: %s", partition.number, error)
        partition.wait(self.monotonic_us() + after_us)
        self.ticks.pause([partition.number])

    def _pause_or_resume(self, partition: AssignedPartition[Batch]) -> None:
        is_full = partition.task.is_full
        if is_full and partition.phase is Phase.READING:
            partition.pause()
            self.ticks.pause([partition.number])
        elif not is_full and partition.phase is Phase.PAUSED:
            partition.read_on()
            self.ticks.resume(partition.number)

    def _report_lag(self, task: PartitionTask[Batch]) -> None:
        end = self.ticks.known_end(task.number)
        if end is not None:
            lag = max(0, end - task.offset)
            self.metrics.set("homma_lag_ticks", lag, str(task.number))
