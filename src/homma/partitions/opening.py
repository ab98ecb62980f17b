"""Opens assigned partitions: takes them over from a predecessor and restores their tasks.

A new producer takes over the partition's transactional id, which ends any transaction that a
predecessor left open. Only then is the committed offset known, and the state that belongs to it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Final, Generic

from homma.errors import KafkaError, TopicMismatch, Unreachable
from homma.failpoint import OnStep, Step
from homma.metrics import Metrics
from homma.partitions.assigned_partition import AssignedPartition
from homma.partitions.stage import Batch, LoopSettings, PartitionTask, Stage, TickTopics
from homma.topics.contract import transactional_id
from homma.topics.kafka.reading import Committed, GroupReader, Reader
from homma.topics.kafka.writing import Transactions

log = logging.getLogger("homma.partitions")

#: When to try again after Kafka refused or did not answer. The attempts themselves wait for
#: seconds, so this only spares a broker that refuses at once.
RETRY_US: Final = 1_000_000
# After this time, Kafka rolls back the transaction of an engine that was killed. Until then,
# readers of committed records wait for it; a healthy transaction takes far less.
_TRANSACTION_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Opened(Generic[Batch]):
    """A restored task and, with `until_end`, the offset to stop at."""

    task: PartitionTask[Batch]
    stop_offset: int | None


@dataclass(frozen=True, slots=True)
class Opening(Generic[Batch]):
    """Opens partitions for a stage."""

    topics: TickTopics
    settings: LoopSettings
    stage: Stage[Batch]
    ticks: GroupReader
    pool: Executor
    metrics: Metrics
    monotonic_us: Callable[[], int]
    on_step: OnStep

    def open(self, partitions: Sequence[AssignedPartition[Batch]]) -> None:
        """Open partitions in parallel: most of the time goes into waiting for the broker."""
        for partition in partitions:
            self._check_number(partition.number)
        futures = [(partition, self._submit(partition)) for partition in partitions]
        wait([future for _, future in futures])
        # All of them first, so that an error leaves no task that nobody closes.
        for partition, future in futures:
            if future.exception() is None:
                partition.open(future.result().task, future.result().stop_offset)
        for partition, future in futures:
            self._start(partition, future)

    def _check_number(self, number: int) -> None:
        topic, partitions = self.topics.topics.ticks, self.topics.partitions
        if number >= partitions and not self.settings.may_grow:
            raise TopicMismatch(
                f"{topic} had {partitions} partitions and now has at least {number + 1}",
                "series may have moved to other partitions: create candle topics with the "
                "same number of partitions and start with --rebuild",
            )

    def _submit(self, partition: AssignedPartition[Batch]) -> Future[Opened[Batch]]:
        reader = partition.start_opening(self.topics.connection)
        return self.pool.submit(self._take_over, partition.number, reader, partition.stop_offset)

    def _start(self, partition: AssignedPartition[Batch], opened: Future[Opened[Batch]]) -> None:
        """Start reading an opened partition; if opening failed, schedule a retry."""
        try:
            task = opened.result().task
        except KafkaError as error:
            log.warning("partition %d cannot be opened yet: %s", partition.number, error)
            partition.wait(self.monotonic_us() + RETRY_US)
            return
        self.stage.on_applied(task)
        self.ticks.start(partition.number, task.offset)

    def _take_over(self, number: int, reader: Reader, stop_offset: int | None) -> Opened[Batch]:
        """Take a partition over: first the producer, then the offset and the state."""
        started = time.perf_counter()
        topic, connection = self.topics.topics.ticks, self.topics.connection
        name = transactional_id(self.settings.group, topic, number)
        transactions = Transactions(connection, name, _TRANSACTION_MS, on_step=self.on_step)
        try:
            transactions.init()
            self.on_step(Step.TAKEN_OVER)
            committed = self._committed(number, transactions)
            self.on_step(Step.OFFSET_READ)
            if self.settings.until_end and stop_offset is None:
                stop_offset = reader.offset_range(topic, number).end
            # Last: a task that exists is always handed to its partition, which closes it.
            task = self.stage.on_assigned(number, committed, reader, transactions)
        except BaseException:
            transactions.close()
            raise
        seconds = time.perf_counter() - started
        self.metrics.observe("homma_restore_seconds", seconds)
        log.info(
            "partition %d of %s: continues at offset %d (restored in %.2f s)",
            number,
            topic,
            task.offset,
            seconds,
        )
        self.on_step(Step.READY)
        return Opened(task, stop_offset)

    def _committed(self, number: int, transactions: Transactions) -> Committed | None:
        try:
            return self.ticks.committed(number)
        except Unreachable as error:
            log.warning(
                "partition %d: cannot read the committed offset, aborting the pending "
                "transaction: %s",
                number,
                error,
            )
            topic, owner = self.topics.topics.ticks, self.ticks.group_metadata()
            transactions.clear_pending_offset(topic, number, owner)
            return self.ticks.committed(number)
