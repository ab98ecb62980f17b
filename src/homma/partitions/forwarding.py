"""Forwards the records of a partition to another topic, exactly once.

A transaction has both the records and the offset up to which they were read. Where the ticks of a
series come from several partitions, those ahead wait for those behind (`alignment.py`).
"""

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from homma.errors import Aborted
from homma.metrics import Metrics
from homma.partitions.alignment import WatermarkAlignment
from homma.partitions.counts import check_counts
from homma.partitions.outgoing import OutgoingBatch, OutgoingRecords, WaitingBatch
from homma.topics.kafka.writing import ANY_PARTITION, Transactions
from homma.topics.offset_metadata import ForwardMetadata

log = logging.getLogger("homma.partitions")

# A partition ahead of others is paused once this many of its records wait, and resumed when only
# a few do.
_PAUSE_AT: Final = 40_000
_RESUME_AT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Route:
    """From which topic to which others. `dead_partition` gives that of a partition's dead letters.

    The ids are those of the source and of the target when the stage started. With `is_noted`, the
    id of the source outlives the source: Kafka deletes the offsets of a deleted topic.
    """

    source: str
    source_id: str
    target: str
    target_id: str
    dead: str
    dead_partition: Callable[[int], int]
    is_noted: bool = False


class ForwardingPartition:
    """The task of a partition whose records are forwarded.

    `on_committed` is called with what was committed.
    """

    def __init__(
        self,
        route: Route,
        number: int,
        offset: int,
        transactions: Transactions,
        alignment: WatermarkAlignment,
        metrics: Metrics,
        on_committed: Callable[[OutgoingBatch], None],
    ) -> None:
        self.number = number
        self._route = route
        self._where = f"{route.source} partition {number}"
        self._transactions = transactions
        self._alignment = alignment
        self._metrics = metrics
        self._on_committed = on_committed
        #: The offsets after the last record applied and after the last one committed.
        self._applied = self._committed = offset
        self._waiting: deque[WaitingBatch] = deque()
        self._newest_us = 0
        self._is_at_end = False
        self._is_full = False
        self._align()

    @property
    def offset(self) -> int:
        """The offset after the last record applied."""
        return self._applied

    @property
    def is_committed(self) -> bool:
        """Whether all records applied are forwarded."""
        return self._committed == self._applied

    @property
    def is_full(self) -> bool:
        """Whether too many records wait for other partitions."""
        waiting = sum(map(len, self._waiting))
        self._is_full = waiting > (_RESUME_AT if self._is_full else _PAUSE_AT)
        return self._is_full

    @property
    def has_more(self) -> bool:
        """Whether waiting records may be forwarded now."""
        return bool(self._waiting) and self._waiting[0].oldest_us <= self._alignment.limit_us

    def _align(self) -> None:
        newest_us = math.inf if self._is_at_end else self._newest_us
        oldest_us = self._waiting[0].oldest_us if self._waiting else math.inf
        self._alignment.advance(self.number, newest_us, oldest_us)

    def apply(self, batch: OutgoingBatch, monotonic_us: int) -> None:
        """Take records that may have to wait for other partitions."""
        del monotonic_us
        waiting = WaitingBatch(batch, self._newest_us)
        self._newest_us = waiting.newest_us
        self._waiting.append(waiting)
        self._applied = batch.end
        self._is_at_end = False
        self._align()
        self._metrics.count("homma_ticks_read", len(batch))

    def at_end(self, monotonic_us: int) -> None:
        """No record is left for now: the other partitions need not wait for this one."""
        del monotonic_us
        self._is_at_end = True
        self._align()

    def publish(self, monotonic_us: int, owner: object) -> bool:
        """Forward what need not wait, in one transaction; False if it was rolled back.

        Raises InternalError if the transaction would lack a record.
        """
        del monotonic_us
        limit_us = self._alignment.limit_us
        due = [(waiting, waiting.due(limit_us)) for waiting in self._waiting]
        batches = [waiting.first(count) for waiting, count in due if count]
        if not batches:
            return True
        for batch in batches:
            self._check(batch)
        offset = batches[-1].end
        metadata = ForwardMetadata(
            lastTicksBefore=offset, topicId=self._route.source_id, ontoId=self._route.target_id
        )
        try:
            self._transactions.begin()
            for batch in batches:
                self._send(self._route.dead, self._route.dead_partition(self.number), batch.dead)
                self._send(self._route.target, ANY_PARTITION, batch.forwarded)
            noted_at = self._route.target if self._route.is_noted else ""
            self._transactions.commit(
                self._route.source, self.number, offset, metadata.text(), owner, noted_at
            )
        except Aborted as error:
            log.warning("partition %d: %s", self.number, error)
            self._roll_back()
            return False
        for waiting, count in due:
            waiting.drop(count)
        while self._waiting and not self._waiting[0]:
            self._waiting.popleft()
        self._committed = offset
        self._align()
        self._metrics.count("homma_transactions", 1, "committed")
        for batch in batches:
            self._on_committed(batch)
        return True

    def _check(self, batch: OutgoingBatch) -> None:
        """Raise InternalError unless each record is forwarded, dead or left out."""
        dead, left_out = set(batch.dead.rows), set(batch.left_out)
        forwarded = set(batch.forwarded.rows) - dead
        check_counts(
            self._where,
            "due",
            len(batch),
            forwarded=len(forwarded),
            dead=len(dead),
            left_out=len(left_out),
        )

    def _roll_back(self) -> None:
        self._transactions.abort()
        self._waiting.clear()
        self._applied = self._committed
        self._is_at_end = False
        self._align()
        self._metrics.count("homma_transactions", 1, "aborted")

    def _send(self, topic: str, partition: int, records: OutgoingRecords) -> None:
        if records.rows:
            self._transactions.send(
                topic,
                partition,
                records.keys,
                records.values,
                records.timestamps_ms,
                records.headers,
            )

    def close(self) -> None:
        """Release the producer."""
        self._transactions.close()
