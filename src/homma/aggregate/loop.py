"""The loop of a stage that works within transactions: poll, apply, publish, commit.

It decides nothing. A partition is opened when the group assigns it: its producer takes over the
transactional id, which ends whatever a predecessor left open, and its Stage says how to go on. It
is closed when it is revoked, after a last commit. Whatever goes wrong in between ends in opening
it again.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from homma.aggregate.stage import LoopSettings, PartitionTask, Stage, TickTopics
from homma.durations import microseconds
from homma.errors import Fenced, KafkaError, StateError, TopicMismatch, Unreachable
from homma.failpoint import Reached, Step
from homma.metrics import Metrics
from homma.topics.contract import transactional_id
from homma.topics.kafka.reading import Committed, GroupReader, Message, Reader
from homma.topics.kafka.writing import Indefinite, Transactions
from homma.topics.ticks import ParsedBatch, parse_ticks

log = logging.getLogger("homma.aggregate")

_BATCH: Final = 10_000
# So many are parsed at once: a step by columns costs much the same for few.
_PARSED_AT_ONCE: Final = 20_000
# So often meanwhile, so that a core parses while another reads and applies.
_PARSED_MEANWHILE: Final = 1
_TRANSACTION_MS: Final = 10_000
_SESSION_MS: Final = 6_000
# Who was fenced waits this long for the group to say whether the partition is still its own.
_FENCED_US: Final = (_SESSION_MS + 1_000) * 1000
_AGAIN_US: Final = 1_000_000
# No longer without asking whether to stop.
_POLL_US: Final = 200_000
# No longer without asking for more ticks: the group wants to hear of its members.
_AT_ONCE_US: Final = 1_000_000
_GONE_US: Final = 10_000_000
_SIDE_BY_SIDE: Final = 16


@dataclass(slots=True)
class PolledRecords:
    """Records of a partition that are not applied yet. Monotonic microseconds."""

    began_us: int
    messages: list[Message] = field(default_factory=list)
    #: When the partition's end was reached, if it was.
    ended_us: int | None = None


class Loop:
    """Moves ticks through a stage, for the partitions that the group gives this process."""

    def __init__(
        self,
        sources: TickTopics,
        pace: LoopSettings,
        stage: Stage,
        metrics: Metrics,
        monotonic_us: Callable[[], int],
        reached: Reached,
    ) -> None:
        self._sources = sources
        self._pace = pace
        self._stage = stage
        self._metrics = metrics
        self._now_us = monotonic_us
        self._reached = reached
        self._ticks = GroupReader(sources.config, pace.group, sources.topics.ticks, _SESSION_MS)
        #: One a partition: they are read side by side.
        self._readers: dict[int, Reader] = {}
        self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE, "partition")
        #: Partitions that are read, those that want no more, and those to open, with when to try.
        self._open: dict[int, PartitionTask] = {}
        self._paused: set[int] = set()
        self._waiting: dict[int, int] = {}
        self._taken: dict[int, PolledRecords] = {}
        #: What is being parsed meanwhile, the oldest first.
        self._parsing: deque[tuple[dict[int, PolledRecords], Future[dict[int, ParsedBatch]]]] = (
            deque()
        )
        self._gone_since_us: int | None = None
        self._ends: dict[int, int] = {}

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped`, or with `until_end` until all that was there is worked off."""
        every_us = microseconds(self._pace.emit_every)
        self._ticks.join(self._assigned, self._revoked, self._lost)
        due_us = self._now_us() + every_us
        try:
            while not stopped():
                self._open_waiting()
                self._poll(max(0, due_us - self._now_us()))
                if self._now_us() >= due_us:
                    self._publish_all()
                    # At an even pace, unless that is more than can be kept.
                    due_us = max(due_us + every_us, self._now_us())
                if self._finished():
                    # A commit that was put off or rolled back is made up for in the next round.
                    self._publish_all()
                    if self._finished() and all(work.settled for work in self._open.values()):
                        break
            self._publish_all()
        finally:
            self._close()

    @property
    def reading(self) -> bool:
        """Whether a partition is open."""
        return bool(self._open)

    # --- the group -----------------------------------------------------------------------------

    def _assigned(self, partitions: Sequence[int]) -> None:
        log.info("assigned: partitions %s", list(partitions))
        self._ticks.hold(partitions)
        self._waiting.update(dict.fromkeys(partitions, 0))

    def _revoked(self, partitions: Sequence[int]) -> None:
        log.info("revoked: partitions %s", list(partitions))
        # None of them is open when the group is left: then there is nothing to commit.
        if any(number in self._open for number in partitions):
            self._apply_all()
            if self._same_topic():
                self._publish([self._open[n] for n in partitions if n in self._open])
        self._lost(partitions)

    def _lost(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._waiting.pop(number, None)
            self._drop(number)
            if number in self._readers:
                self._readers.pop(number).close()

    def _drop(self, number: int) -> None:
        work = self._open.pop(number, None)
        self._taken.pop(number, None)
        for taken, _ in self._parsing:
            taken.pop(number, None)
        self._paused.discard(number)
        if work is not None:
            work.close()
            self._stage.on_revoked(number)

    def _reopen(self, number: int, error: KafkaError, after_us: int) -> None:
        log.warning("partition %d: %s", number, error)
        self._drop(number)
        self._ticks.hold([number])
        self._waiting[number] = self._now_us() + after_us

    def _open_waiting(self) -> None:
        """Side by side: opening, too, is mostly waiting for the broker."""
        now_us = self._now_us()
        due = [number for number, from_us in self._waiting.items() if now_us >= from_us]
        for number in due:
            if number >= self._sources.partitions:
                raise TopicMismatch(
                    f"{self._sources.topics.ticks} had {self._sources.partitions} partitions and "
                    f"has now {number + 1} or more",
                    "series have moved: make topics of candles with as many, then --rebuild",
                )
            self._readers.setdefault(number, Reader(self._sources.config))
        ends = {number: self._pool.submit(self._opened, number) for number in due}
        wait(ends.values())
        for number, end in ends.items():
            if end.exception() is None:
                del self._waiting[number]
                self._open[number] = end.result()
        for number, end in ends.items():
            self._start(number, end)

    def _start(self, number: int, end: Future[PartitionTask]) -> None:
        """Read an opened partition; one that could not be opened is tried again."""
        try:
            work = end.result()
        except KafkaError as error:
            log.warning("partition %d cannot be opened yet: %s", number, error)
            self._waiting[number] = self._now_us() + _AGAIN_US
            return
        self._stage.on_applied(work)
        self._ticks.start(number, work.offset)

    def _opened(self, number: int) -> PartitionTask:
        """Take the partition over: producer first, then offset and what belongs to it."""
        started = time.perf_counter()
        topic, reader = self._sources.topics.ticks, self._readers[number]
        name = transactional_id(self._pace.group, topic, number)
        config, reached = self._sources.config, self._reached
        transactions = Transactions(config, name, _TRANSACTION_MS, reached=reached)
        try:
            transactions.init()
            reached(Step.TAKEN_OVER)
            committed = self._committed(number, transactions)
            reached(Step.OFFSET_READ)
            work = self._stage.on_assigned(number, committed, reader, transactions)
            if self._pace.until_end and number not in self._ends:
                self._ends[number] = reader.kept(topic, number).end
        except BaseException:
            transactions.close()
            raise
        seconds = time.perf_counter() - started
        self._metrics.observe("homma_restore_seconds", seconds)
        log.info(
            "partition %d of %s: goes on at offset %d (restored in %.2f s)",
            number,
            topic,
            work.offset,
            seconds,
        )
        reached(Step.READY)
        return work

    def _committed(self, number: int, transactions: Transactions) -> Committed | None:
        try:
            return self._ticks.committed(number)
        except Unreachable as error:
            log.warning("partition %d: its offset is not to be had, settling: %s", number, error)
            transactions.settle(self._sources.topics.ticks, number, self._ticks.owner())
            return self._ticks.committed(number)

    # --- the way of a tick ---------------------------------------------------------------------

    def _poll(self, most_us: int) -> None:
        """Take what there is; it is applied when it is much, or when it is due."""
        messages, ended = self._ticks.consume(_BATCH, min(most_us, _POLL_US) / 1e6)
        now_us = self._now_us()
        for number, batch in _by_partition(messages).items():
            if number in self._open:
                taken = self._taken.setdefault(number, PolledRecords(now_us))
                taken.messages.extend(batch)
                taken.ended_us = None
        for number in ended:
            if number in self._open:
                self._taken.setdefault(number, PolledRecords(now_us)).ended_us = now_us
        much = sum(len(t.messages) for t in self._taken.values()) >= _PARSED_AT_ONCE
        # Towards the end nothing may be left lying: what is due may be due in an hour.
        last = self._pace.until_end and len(messages) < _BATCH
        if much or last:
            self._parse()
            self._apply(0 if last else _PARSED_MEANWHILE)

    def _parse(self) -> None:
        """Have what was taken parsed while more is read."""
        taken, self._taken = self._taken, {}
        if taken:
            batches = {number: its.messages for number, its in taken.items() if its.messages}
            max_future_us = microseconds(self._pace.max_future)
            self._parsing.append((taken, self._pool.submit(parse_ticks, batches, max_future_us)))

    def _apply(self, leave: int) -> None:
        """Apply what was parsed, in order, but for so many batches."""
        while len(self._parsing) > leave:
            taken, end = self._parsing.popleft()
            found = end.result()
            for number, its in taken.items():
                self._apply_to(self._open[number], its, found.get(number))

    def _apply_to(
        self, work: PartitionTask, taken: PolledRecords, found: ParsedBatch | None
    ) -> None:
        if found is not None:
            work.take(found, taken.began_us)
            self._stage.on_applied(work)
        if taken.ended_us is None:
            return
        work.at_end(taken.ended_us)
        if self._pace.until_end:
            self._ends[work.number] = min(self._ends[work.number], work.offset)

    def _apply_all(self) -> None:
        self._parse()
        self._apply(0)

    def _same_topic(self) -> bool:
        """Whether the ticks read are still those of the topic; StateError where it was made again.

        Asked between reading and committing: what was read before is then the old topic's.
        """
        try:
            now = self._sources.topic_id_now()
        except KafkaError as error:
            log.warning("nothing is committed until Kafka answers: %s", error)
            return False
        if now == self._sources.topic_id:
            self._gone_since_us = None
            return True
        topic = self._sources.topics.ticks
        if now is not None:
            raise StateError(
                f"{topic} was deleted and made again",
                "start with --rebuild to make all candles anew from the ticks that are there",
            )
        # A broker that has just started may not know its topics yet.
        self._gone_since_us = self._gone_since_us or self._now_us()
        if self._now_us() - self._gone_since_us > _GONE_US:
            raise StateError(f"{topic} was deleted", "make it again, then start with --rebuild")
        return False

    def _publish_all(self) -> None:
        self._apply_all()
        if not self._open or not self._same_topic():
            return
        until_us = self._now_us() + _AT_ONCE_US
        while True:
            self._publish(list(self._open.values()))
            if self._now_us() > until_us or not any(work.more for work in self._open.values()):
                break
        for number, work in self._open.items():
            self._hold_back(number, work)

    def _hold_back(self, number: int, work: PartitionTask) -> None:
        if work.full and number not in self._paused:
            self._paused.add(number)
            self._ticks.hold([number])
        elif not work.full and number in self._paused:
            self._paused.discard(number)
            self._ticks.go_on(number)

    def _publish(self, works: Sequence[PartitionTask]) -> None:
        """Side by side: a transaction is mostly waiting for the broker."""
        now_us, owner = self._now_us(), self._ticks.owner()
        ends = [(work, self._pool.submit(work.publish, now_us, owner)) for work in works]
        # All have ended before one is looked at, so that none is left at work by an error.
        wait([end for _, end in ends])
        for work, end in ends:
            self._look(work, end)
            self._show_lag(work)

    def _look(self, work: PartitionTask, end: Future[bool]) -> None:
        try:
            if not end.result():
                log.warning("partition %d: rolled back, reads again", work.number)
                self._ticks.start(work.number, work.offset)
                self._paused.discard(work.number)
        except Fenced as error:
            self._metrics.count("homma_transactions", 1, "fenced")
            self._reopen(work.number, error, _FENCED_US)
        except Indefinite as error:
            self._metrics.count("homma_transactions", 1, "indefinite")
            self._reopen(work.number, error, 0)

    def _show_lag(self, work: PartitionTask) -> None:
        end = self._ticks.end_seen(work.number)
        if end is not None:
            lag = max(0, end - work.offset)
            self._metrics.show("homma_lag_ticks", lag, str(work.number))

    def _finished(self) -> bool:
        if not self._pace.until_end or self._waiting or not self._open:
            return False
        return all(work.offset >= self._ends[number] for number, work in self._open.items())

    def _close(self) -> None:
        self._pool.shutdown()
        self._parsing.clear()
        self._lost([*self._open, *self._waiting])
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
