"""The loop of a stage that works in transactions: poll, apply, publish, commit.

The loop decides nothing about ticks. When the group assigns a partition, a new producer takes over
the partition's transactional id, which ends any transaction that a predecessor left open, and the
stage restores the partition's task. When the partition is revoked, the loop commits once more and
closes the task. After an error in between, the partition is restored again.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from homma.aggregate.group import GroupCheck
from homma.aggregate.stage import LoopSettings, PartitionTask, Stage, TickTopics
from homma.durations import microseconds
from homma.errors import Fenced, KafkaError, OutcomeUnknown, StateError, TopicMismatch, Unreachable
from homma.failpoint import OnStep, Step
from homma.metrics import Metrics
from homma.topics.contract import transactional_id
from homma.topics.kafka.identity import TopicState, TopicWatch
from homma.topics.kafka.reading import Committed, GroupReader, Message, Reader
from homma.topics.kafka.writing import Transactions
from homma.topics.ticks import ParsedBatch, parse_ticks

log = logging.getLogger("homma.aggregate")

_BATCH: Final = 10_000
# Records per parse: a step by columns costs much the same for a few rows.
_RECORDS_PER_PARSE: Final = 20_000
# Parses in the background, so that one core parses while another one reads and applies.
_BACKGROUND_PARSES: Final = 1
_TRANSACTION_MS: Final = 10_000
_SESSION_MS: Final = 6_000
# A fenced task waits until the group has decided whether the partition still belongs to it.
_FENCED_RETRY_US: Final = (_SESSION_MS + 1_000) * 1000
_RETRY_US: Final = 1_000_000
# The longest poll, after which `stopped` is checked again.
_POLL_US: Final = 200_000
# The longest time of publishing without a poll: the group expects its members to poll.
_PUBLISH_US: Final = 1_000_000
_THREADS: Final = 16


@dataclass(slots=True)
class PolledRecords:
    """Records of a partition that are not applied yet. Monotonic microseconds."""

    polled_us: int
    messages: list[Message] = field(default_factory=list)
    #: When the end of the partition was reached, if it was.
    end_reached_us: int | None = None


class Loop:
    """Moves ticks through a stage, for the partitions that the group assigns to this process."""

    def __init__(
        self,
        topics: TickTopics,
        settings: LoopSettings,
        stage: Stage,
        metrics: Metrics,
        monotonic_us: Callable[[], int],
        on_step: OnStep,
    ) -> None:
        self._topics = topics
        self._settings = settings
        self._stage = stage
        self._metrics = metrics
        self._now_us = monotonic_us
        self._on_step = on_step
        self._ticks = GroupReader(
            topics.connection, settings.group, topics.topics.ticks, _SESSION_MS, stage.announcement
        )
        self._watch = TopicWatch(
            topics.topics.ticks, topics.topic_id, topics.topic_id_now, lambda: monotonic_us() / 1e6
        )
        self._group = GroupCheck(stage.check_group, _SESSION_MS)
        #: One reader per partition, so that partitions are restored in parallel.
        self._readers: dict[int, Reader] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "partition")
        #: The open partitions, those of them that are paused, and those to open from a time on.
        self._tasks: dict[int, PartitionTask] = {}
        self._paused: set[int] = set()
        self._open_from_us: dict[int, int] = {}
        self._polled: dict[int, PolledRecords] = {}
        #: Records that are being parsed in the background, oldest first.
        self._parsing: deque[tuple[dict[int, PolledRecords], Future[dict[int, ParsedBatch]]]] = (
            deque()
        )
        #: With `until_end`: the offsets to stop at, by partition.
        self._ends: dict[int, int] = {}

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped` or, with `until_end`, until all existing records are processed."""
        every_us = microseconds(self._settings.emit_every)
        try:
            self._group.wait(stopped)
            self._ticks.join(self._assigned, self._revoked, self._lost)
            due_us = self._now_us() + every_us
            while not stopped():
                self._open_due()
                self._poll(max(0, due_us - self._now_us()))
                if self._now_us() >= due_us:
                    self._publish_all()
                    # Keep an even pace, unless publishing takes longer than that.
                    due_us = max(due_us + every_us, self._now_us())
                if self._at_ends():
                    # A commit that was postponed or rolled back is repeated in the next round.
                    self._publish_all()
                    if self._at_ends() and all(t.is_committed for t in self._tasks.values()):
                        break
            self._publish_all()
        finally:
            self._close()

    @property
    def is_reading(self) -> bool:
        """Whether a partition is open."""
        return bool(self._tasks)

    # --- the group -----------------------------------------------------------------------------

    def _assigned(self, partitions: Sequence[int]) -> None:
        log.info("assigned: partitions %s", list(partitions))
        self._group.forget()
        self._ticks.pause(partitions)
        self._open_from_us.update(dict.fromkeys(partitions, 0))

    def _revoked(self, partitions: Sequence[int]) -> None:
        log.info("revoked: partitions %s", list(partitions))
        # When this process leaves the group, its partitions are closed already.
        if any(number in self._tasks for number in partitions):
            self._apply_all()
            if self._is_same_topic():
                self._publish([self._tasks[n] for n in partitions if n in self._tasks])
        self._lost(partitions)

    def _lost(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._open_from_us.pop(number, None)
            self._close_task(number)
            if number in self._readers:
                self._readers.pop(number).close()

    def _close_task(self, number: int) -> None:
        task = self._tasks.pop(number, None)
        self._polled.pop(number, None)
        for polled, _ in self._parsing:
            polled.pop(number, None)
        self._paused.discard(number)
        if task is not None:
            task.close()
            self._stage.on_revoked(number)

    def _reopen(self, number: int, error: KafkaError, after_us: int) -> None:
        log.warning("partition %d: %s", number, error)
        self._close_task(number)
        self._ticks.pause([number])
        self._open_from_us[number] = self._now_us() + after_us

    def _open_due(self) -> None:
        """Open partitions in parallel: most of the time goes into waiting for the broker."""
        now_us = self._now_us()
        due = [number for number, from_us in self._open_from_us.items() if now_us >= from_us]
        # An engine without partitions is checked too: it may get some later.
        if (due or not self._tasks) and not self._group.is_checked():
            self._open_from_us.update(dict.fromkeys(due, now_us + _RETRY_US))
            return
        for number in due:
            if number >= self._topics.partitions:
                raise TopicMismatch(
                    f"{self._topics.topics.ticks} had {self._topics.partitions} partitions and "
                    f"now has at least {number + 1}",
                    "series may have moved to other partitions: create candle topics with the "
                    "same number of partitions and start with --rebuild",
                )
            self._readers.setdefault(number, Reader(self._topics.connection))
        futures = {number: self._pool.submit(self._open, number) for number in due}
        wait(futures.values())
        for number, future in futures.items():
            if future.exception() is None:
                del self._open_from_us[number]
                self._tasks[number] = future.result()
        for number, future in futures.items():
            self._start(number, future)

    def _start(self, number: int, opened: Future[PartitionTask]) -> None:
        """Start reading an opened partition; if opening failed, schedule a retry."""
        try:
            task = opened.result()
        except KafkaError as error:
            log.warning("partition %d cannot be opened yet: %s", number, error)
            self._open_from_us[number] = self._now_us() + _RETRY_US
            return
        self._stage.on_applied(task)
        self._ticks.start(number, task.offset)

    def _open(self, number: int) -> PartitionTask:
        """Take the partition over: first the producer, then the offset and the state."""
        started = time.perf_counter()
        topic, reader = self._topics.topics.ticks, self._readers[number]
        name = transactional_id(self._settings.group, topic, number)
        connection, on_step = self._topics.connection, self._on_step
        transactions = Transactions(connection, name, _TRANSACTION_MS, on_step=on_step)
        try:
            transactions.init()
            on_step(Step.TAKEN_OVER)
            committed = self._committed(number, transactions)
            on_step(Step.OFFSET_READ)
            task = self._stage.on_assigned(number, committed, reader, transactions)
            if self._settings.until_end and number not in self._ends:
                self._ends[number] = reader.offset_range(topic, number).end
        except BaseException:
            transactions.close()
            raise
        seconds = time.perf_counter() - started
        self._metrics.observe("homma_restore_seconds", seconds)
        log.info(
            "partition %d of %s: continues at offset %d (restored in %.2f s)",
            number,
            topic,
            task.offset,
            seconds,
        )
        on_step(Step.READY)
        return task

    def _committed(self, number: int, transactions: Transactions) -> Committed | None:
        try:
            return self._ticks.committed(number)
        except Unreachable as error:
            log.warning(
                "partition %d: cannot read the committed offset, aborting the pending "
                "transaction: %s",
                number,
                error,
            )
            topic, owner = self._topics.topics.ticks, self._ticks.group_metadata()
            transactions.clear_pending_offset(topic, number, owner)
            return self._ticks.committed(number)

    # --- from record to commit -----------------------------------------------------------------

    def _poll(self, max_wait_us: int) -> None:
        """Read records, and apply them when there are many or when they are due."""
        messages, ended = self._ticks.consume(_BATCH, min(max_wait_us, _POLL_US) / 1e6)
        now_us = self._now_us()
        for number, batch in _by_partition(messages).items():
            if number in self._tasks:
                polled = self._polled.setdefault(number, PolledRecords(now_us))
                polled.messages.extend(batch)
                polled.end_reached_us = None
        for number in ended:
            if number in self._tasks:
                self._polled.setdefault(number, PolledRecords(now_us)).end_reached_us = now_us
        count = sum(len(polled.messages) for polled in self._polled.values())
        # Near the ends nothing may be left unapplied: the next publish may be an hour away.
        is_near_end = self._settings.until_end and len(messages) < _BATCH
        if count >= _RECORDS_PER_PARSE or is_near_end:
            self._parse()
            self._apply(0 if is_near_end else _BACKGROUND_PARSES)

    def _parse(self) -> None:
        """Start parsing the polled records in the background."""
        polled, self._polled = self._polled, {}
        if polled:
            batches = {n: records.messages for n, records in polled.items() if records.messages}
            max_future_us = microseconds(self._settings.max_future)
            self._parsing.append((polled, self._pool.submit(parse_ticks, batches, max_future_us)))

    def _apply(self, leave: int) -> None:
        """Apply parsed records in order, except for the newest `leave` parses."""
        while len(self._parsing) > leave:
            polled, future = self._parsing.popleft()
            batches = future.result()
            for number, records in polled.items():
                self._apply_to(self._tasks[number], records, batches.get(number))

    def _apply_to(
        self, task: PartitionTask, records: PolledRecords, batch: ParsedBatch | None
    ) -> None:
        if batch is not None:
            task.apply(batch, records.polled_us)
            self._stage.on_applied(task)
        if records.end_reached_us is None:
            return
        task.at_end(records.end_reached_us)
        if self._settings.until_end:
            self._ends[task.number] = min(self._ends[task.number], task.offset)

    def _apply_all(self) -> None:
        self._parse()
        self._apply(0)

    def _is_same_topic(self) -> bool:
        """Whether the tick topic is still the same; StateError if it was deleted or recreated.

        Checked between reading and committing: records read before belong to the old topic.
        """
        topic, state = self._topics.topics.ticks, self._watch.state()
        if state is TopicState.RECREATED:
            raise StateError(
                f"topic {topic} was deleted and created again",
                "start with --rebuild to build all candles again from the ticks in the topic",
            )
        if state is TopicState.DELETED:
            raise StateError(
                f"topic {topic} was deleted", "create it again, then start with --rebuild"
            )
        return state is TopicState.SAME

    def _publish_all(self) -> None:
        self._apply_all()
        if not self._tasks or not self._is_same_topic():
            return
        until_us = self._now_us() + _PUBLISH_US
        while True:
            self._publish(list(self._tasks.values()))
            if self._now_us() > until_us or not any(t.has_more for t in self._tasks.values()):
                break
        for number, task in self._tasks.items():
            self._pause_or_resume(number, task)

    def _pause_or_resume(self, number: int, task: PartitionTask) -> None:
        if task.is_full and number not in self._paused:
            self._paused.add(number)
            self._ticks.pause([number])
        elif not task.is_full and number in self._paused:
            self._paused.discard(number)
            self._ticks.resume(number)

    def _publish(self, tasks: Sequence[PartitionTask]) -> None:
        """Publish in parallel: most of a transaction is waiting for the broker."""
        now_us, owner = self._now_us(), self._ticks.group_metadata()
        futures = [(task, self._pool.submit(task.publish, now_us, owner)) for task in tasks]
        # Wait for all of them first, so that an error does not leave one running.
        wait([future for _, future in futures])
        for task, future in futures:
            self._on_published(task, future)
            self._report_lag(task)

    def _on_published(self, task: PartitionTask, published: Future[bool]) -> None:
        try:
            if not published.result():
                log.warning("partition %d: rolled back, reading again", task.number)
                self._ticks.start(task.number, task.offset)
                self._paused.discard(task.number)
        except Fenced as error:
            self._metrics.count("homma_transactions", 1, "fenced")
            self._reopen(task.number, error, _FENCED_RETRY_US)
        except OutcomeUnknown as error:
            self._metrics.count("homma_transactions", 1, "indefinite")
            self._reopen(task.number, error, 0)

    def _report_lag(self, task: PartitionTask) -> None:
        end = self._ticks.known_end(task.number)
        if end is not None:
            lag = max(0, end - task.offset)
            self._metrics.set("homma_lag_ticks", lag, str(task.number))

    def _at_ends(self) -> bool:
        if not self._settings.until_end or self._open_from_us or not self._tasks:
            return False
        return all(task.offset >= self._ends[number] for number, task in self._tasks.items())

    def _close(self) -> None:
        self._pool.shutdown()
        self._parsing.clear()
        self._lost([*self._tasks, *self._open_from_us])
        self._ticks.close()


def _by_partition(messages: list[Message]) -> dict[int, list[Message]]:
    batches: dict[int, list[Message]] = {}
    for message in messages:
        number = message.partition() or 0
        if number in batches:
            batches[number].append(message)
        else:
            batches[number] = [message]
    return batches
