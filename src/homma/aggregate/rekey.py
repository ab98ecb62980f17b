"""Forwards ticks to a topic keyed by series, for feeds that scatter a series over partitions.

    stock_ticks ──▶ RekeyStage ──▶ stock_ticks_by_series ──▶ CandleStage

Exactly once, like the engine itself: a transaction has both the ticks and their offset. Value,
timestamp and headers stay the same; added headers have the original key and position. Records
that break the contract have no series: they become dead letters here.
"""

import logging
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

import polars as pl

from homma.aggregate.restore import check_offset
from homma.aggregate.tick_counts import check_counts
from homma.core.tick import TickRules
from homma.durations import microseconds
from homma.errors import Aborted, StateError
from homma.failpoint import OnStep, ignore_step
from homma.metrics import Metrics
from homma.partitions.loop import Loop
from homma.partitions.origin import origin, rekeyed_origin
from homma.partitions.stage import LoopSettings, PartitionTask, TickTopics
from homma.settings import AggregateSettings
from homma.topics.contract import Headers, Topics
from homma.topics.kafka.identity import TopicState, topic_state
from homma.topics.kafka.reading import Committed, Message, Range, Reader
from homma.topics.kafka.writing import ANY_PARTITION, Transactions
from homma.topics.offset_metadata import RekeyMetadata, read_rekey_metadata
from homma.topics.ticks import ParsedBatch, parse_ticks

log = logging.getLogger("homma.aggregate")

# A partition ahead of others is paused once this many of its records wait, and resumed when only
# a few do.
_PAUSE_AT: Final = 40_000
_RESUME_AT: Final = 10_000

Run = Callable[[Callable[[], bool]], None]


class WatermarkAlignment:
    """Aligns the partitions of this process in event time.

    The ticks of a series come from many partitions. While one partition is behind, the others wait
    for it; otherwise its ticks would be late.
    """

    def __init__(self, max_drift_us: int) -> None:
        self._max_drift_us = max_drift_us
        self._progress_us: dict[int, float] = {}

    def advance(self, number: int, newest_us: float, oldest_us: float) -> None:
        """Set the newest event time read of a partition and the oldest one that still waits.

        `newest_us` is infinite at the end of the partition, `oldest_us` if no tick waits.
        """
        self._progress_us[number] = min(newest_us, oldest_us)

    def forget(self, number: int) -> None:
        """Remove a partition that was revoked."""
        self._progress_us.pop(number, None)

    @property
    def limit_us(self) -> float:
        """Ticks up to this event time may be forwarded."""
        return min(self._progress_us.values(), default=math.inf) + self._max_drift_us


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to be written to another topic; `offset` is its offset in the tick topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers
    offset: int


class RekeyPartition:
    """The task of a partition whose ticks are forwarded by series."""

    def __init__(
        self,
        topics: TickTopics,
        number: int,
        offset: int,
        transactions: Transactions,
        target_id: str,
        alignment: WatermarkAlignment,
        metrics: Metrics,
    ) -> None:
        self.number = number
        self._where = f"{topics.topics.ticks} partition {number}"
        self._topics: Topics = topics.topics
        self._topic_id = topics.topic_id
        self._target_id = target_id
        self._transactions = transactions
        self._alignment = alignment
        self._metrics = metrics
        #: The offsets after the last record applied and after the last one committed.
        self._applied = self._committed = offset
        self._waiting: list[OutgoingRecord] = []
        #: For each waiting record, the largest event time up to it.
        self._event_times_us: list[int] = []
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
        self._is_full = len(self._waiting) > (_RESUME_AT if self._is_full else _PAUSE_AT)
        return self._is_full

    @property
    def has_more(self) -> bool:
        """Whether waiting records may be forwarded now."""
        return bool(self._event_times_us) and self._event_times_us[0] <= self._alignment.limit_us

    def _align(self) -> None:
        newest_us = math.inf if self._is_at_end else self._newest_us
        oldest_us = self._event_times_us[0] if self._event_times_us else math.inf
        self._alignment.advance(self.number, newest_us, oldest_us)

    def apply(self, batch: ParsedBatch, monotonic_us: int) -> None:
        """Key records by their series. Raises InternalError if a record is lost or counts twice."""
        del monotonic_us
        errors: dict[int, str] = dict(batch.bad.iter_rows())
        key = pl.format("{}:{}", "source", "symbol").alias("key")
        ticks = {
            row: (key, event_us)
            for row, key, event_us in batch.valid.select("row", key, "event_us").rows()
        }
        check_counts(self._where, "read", len(batch.messages), valid=len(ticks), dead=len(errors))
        for row, message in enumerate(batch.messages):
            series_key, event_us = ticks.get(row, (None, 0))
            self._newest_us = max(self._newest_us, event_us)
            self._waiting.append(self._outgoing(message, series_key, errors.get(row, "")))
            self._event_times_us.append(self._newest_us)
        self._applied = batch.end
        self._is_at_end = False
        self._align()
        self._metrics.count("homma_ticks_read", len(batch.messages))

    def _outgoing(self, message: Message, series_key: str | None, error: str) -> OutgoingRecord:
        sent = origin(message)
        if series_key is None:
            topic, partition = self._topics.dead, self.number
            key, headers = sent.key, sent.rejected_headers(error)
        else:
            topic, partition = self._topics.by_series, ANY_PARTITION
            key, headers = series_key.encode(), sent.rekeyed_headers()
        return OutgoingRecord(
            topic=topic,
            partition=partition,
            key=key,
            value=message.value(),
            timestamp_ms=message.timestamp()[1],
            headers=headers,
            offset=sent.offset,
        )

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
        due = bisect_right(self._event_times_us, self._alignment.limit_us)
        if due == 0:
            return True
        records = self._waiting[:due]
        dead = [record for record in records if record.topic == self._topics.dead]
        keyed = [record for record in records if record.topic == self._topics.by_series]
        check_counts(self._where, "due", due, forwarded=len(keyed), dead=len(dead))
        offset = records[-1].offset + 1
        metadata = RekeyMetadata(
            lastTicksBefore=offset, topicId=self._topic_id, ontoId=self._target_id
        )
        try:
            self._transactions.begin()
            self._send(dead)
            self._send(keyed)
            self._transactions.commit(
                self._topics.ticks, self.number, offset, metadata.text(), owner
            )
        except Aborted as error:
            log.warning("partition %d: %s", self.number, error)
            self._roll_back()
            return False
        self._waiting, self._event_times_us = self._waiting[due:], self._event_times_us[due:]
        self._committed = offset
        self._align()
        self._metrics.count("homma_transactions", 1, "committed")
        self._metrics.count("homma_ticks_dead", len(dead))
        return True

    def _roll_back(self) -> None:
        self._transactions.abort()
        self._waiting, self._event_times_us, self._applied = [], [], self._committed
        self._is_at_end = False
        self._align()
        self._metrics.count("homma_transactions", 1, "aborted")

    def _send(self, records: list[OutgoingRecord]) -> None:
        if records:
            self._transactions.send(
                records[0].topic,
                records[0].partition,
                [record.key for record in records],
                [record.value for record in records],
                [record.timestamp_ms for record in records],
                [record.headers for record in records],
            )

    def close(self) -> None:
        """Release the producer."""
        self._transactions.close()


class RekeyStage:
    """Forwards the ticks of each partition, keyed by series."""

    def __init__(
        self, topics: TickTopics, settings: AggregateSettings, target_id: str, metrics: Metrics
    ) -> None:
        self._topics = topics
        self._target_id = target_id
        self._metrics = metrics
        self._tick_rules = TickRules(microseconds(settings.max_future), settings.prices)
        # Far less than allowed_lateness, so that no tick is dropped because another overtook it.
        self._alignment = WatermarkAlignment(microseconds(settings.allowed_lateness) // 10)

    def parse(self, batches: Mapping[int, list[Message]]) -> dict[int, ParsedBatch]:
        """Parse records, and check them by the rules of ticks of any kind."""
        return parse_ticks(batches, self._tick_rules)

    @property
    def announcement(self) -> str:
        """Nothing to announce but the name."""
        return "homma"

    def check_group(self) -> None:
        """Nothing to check: ticks are forwarded whatever the intervals are."""

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask[ParsedBatch]:
        """Continue after the last tick that was forwarded."""
        return RekeyPartition(
            self._topics,
            number,
            self._start_offset(number, committed, reader),
            transactions,
            self._target_id,
            self._alignment,
            self._metrics,
        )

    def _start_offset(self, number: int, committed: Committed | None, reader: Reader) -> int:
        topics = self._topics.topics
        where = f"{topics.ticks} partition {number}"
        remedy = f"delete the topic {topics.by_series} and start with --rekey --rebuild"
        ticks = reader.offset_range(topics.ticks, number)
        if committed is None:
            if self._has_forwarded(number, reader):
                raise StateError(
                    f"{topics.by_series} has ticks of {where}, but the group has no committed "
                    "offset for them: the group was reset, or "
                    f"{topics.ticks} was deleted and created again",
                    remedy,
                )
            return ticks.start
        metadata = read_rekey_metadata(committed.metadata, where)
        if topic_state(metadata.ontoId, self._target_id) is not TopicState.SAME:
            # The ticks forwarded so far were deleted together with their topic.
            return ticks.start
        state = topic_state(metadata.topicId, self._topics.topic_id)
        check_offset(where, committed.offset, metadata.lastTicksBefore, ticks, state, remedy)
        return committed.offset

    def _has_forwarded(self, number: int, reader: Reader) -> bool:
        """Whether a tick of the partition has been forwarded; may read all forwarded ticks."""
        topic = self._topics.topics.by_series
        for partition in range(self._topics.partitions):
            ranges: dict[str, Range] = {topic: reader.offset_range(topic, partition)}
            for batch in reader.read(partition, ranges):
                if any(rekeyed_origin(message).partition == number for message in batch):
                    return True
        return False

    def on_applied(self, task: PartitionTask[ParsedBatch]) -> None:
        """Nothing to check."""

    def on_revoked(self, number: int) -> None:
        """The other partitions need not wait for this one any more."""
        self._alignment.forget(number)


def rekey_loop(
    topics: TickTopics,
    settings: AggregateSettings,
    target_id: str,
    metrics: Metrics,
    monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    on_step: OnStep = ignore_step,
) -> Loop[ParsedBatch]:
    """The loop that forwards ticks by series; `target_id` is the id of the topic they go to."""
    loop_settings = LoopSettings(f"{settings.group}-rekey", settings.emit_every, settings.until_end)
    stage = RekeyStage(topics, settings, target_id, metrics)
    return Loop(topics, loop_settings, stage, metrics, monotonic_us, on_step)


def run_together(first: Run, second: Run, stopped: Callable[[], bool]) -> None:
    """Run both until `stopped`; when one fails, stop the other and raise the error."""
    is_over = Event()
    errors: list[BaseException] = []

    def run_first() -> None:
        try:
            first(lambda: is_over.is_set() or stopped())
        except BaseException as error:  # noqa: BLE001  raised in the caller's thread
            errors.append(error)
        finally:
            is_over.set()

    thread = Thread(target=run_first, name="rekey")
    thread.start()
    try:
        second(lambda: is_over.is_set() or stopped())
    finally:
        is_over.set()
        thread.join()
    if errors:
        raise errors[0]
