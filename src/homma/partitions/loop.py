"""The loop of a stage that works in transactions: poll, apply, publish, commit.

The loop decides nothing about ticks. When the group assigns a partition, `partitions/opening.py`
opens it. Its records are parsed in the background (`partitions/parsing.py`) and applied here. At
even intervals, all open partitions are published (`partitions/publishing.py`). When the group
revokes a partition, the loop publishes it once more and closes it.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic

from homma.durations import microseconds
from homma.errors import StateError
from homma.failpoint import OnStep
from homma.metrics import Metrics
from homma.partitions.assigned_partition import SESSION_MS, AssignedPartition, Phase
from homma.partitions.members import wait_for_members
from homma.partitions.opening import Opening
from homma.partitions.parsing import Parsing
from homma.partitions.publishing import Publishing
from homma.partitions.stage import Batch, LoopSettings, Stage, TickTopics
from homma.topics.kafka.identity import TopicState, TopicWatch
from homma.topics.kafka.reading import GroupReader

log = logging.getLogger("homma.partitions")

# Records per poll, which ends when it has that many: it bounds the time until the next check of
# what is due.
_BATCH: Final = 10_000
# Records per parse: a step by columns costs much the same for a few rows.
_RECORDS_PER_PARSE: Final = 20_000
# Parses in the background, so that one core parses while another one reads and applies.
_BACKGROUND_PARSES: Final = 1
# Partitions that are opened or published at the same time. Both mostly wait for the broker, so
# there are more threads than cores; but each restore holds a partition's records in memory, so
# there is not one thread per partition.
_THREADS: Final = 16
# The longest poll, after which `stopped` is checked again.
_POLL_US: Final = 200_000


class Loop(Generic[Batch]):
    """Moves ticks through a stage, for the partitions that the group assigns to this process."""

    def __init__(
        self,
        topics: TickTopics,
        settings: LoopSettings,
        stage: Stage[Batch],
        metrics: Metrics,
        monotonic_us: Callable[[], int],
        on_step: OnStep,
    ) -> None:
        self._topics = topics
        self._settings = settings
        self._stage = stage
        self._now_us = monotonic_us
        self._ticks = ticks = GroupReader(
            topics.connection, settings.group, topics.topics.ticks, SESSION_MS, stage.announcement
        )
        self._watch = TopicWatch(
            topics.topics.ticks, topics.topic_id, topics.topic_id_now, lambda: monotonic_us() / 1e6
        )
        self._pool = pool = ThreadPoolExecutor(_THREADS, "partition")
        self._opening = Opening(
            topics, settings, stage, ticks, pool, metrics, monotonic_us, on_step
        )
        self._parsing = Parsing(pool, stage.parse)
        self._publishing: Publishing[Batch] = Publishing(ticks, pool, metrics, monotonic_us)
        #: Every partition that was ever assigned to this process.
        self._partitions: dict[int, AssignedPartition[Batch]] = {}

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped` or, with `until_end`, until all existing records are processed."""
        every_us = microseconds(self._settings.emit_every)
        try:
            wait_for_members(self._stage.check_group, SESSION_MS, stopped)
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
                    if self._at_ends() and all(p.task.is_committed for p in self._open):
                        break
            self._publish_all()
        finally:
            self._close()

    @property
    def _open(self) -> list[AssignedPartition[Batch]]:
        return [partition for partition in self._partitions.values() if partition.is_open]

    # --- the group -----------------------------------------------------------------------------

    def _assigned(self, partitions: Sequence[int]) -> None:
        log.info("assigned: partitions %s", list(partitions))
        for number in partitions:
            if number not in self._partitions:
                self._partitions[number] = AssignedPartition(number, self._stage)
            self._partitions[number].wait(open_from_us=0)
        self._ticks.pause(partitions)

    def _revoked(self, partitions: Sequence[int]) -> None:
        log.info("revoked: partitions %s", list(partitions))
        # When this process leaves the group, its partitions are closed already.
        if any(self._partitions[number].is_open for number in partitions):
            self._apply_all()
            if self._is_same_topic():
                revoked = [self._partitions[number] for number in partitions]
                self._publishing.publish([p for p in revoked if p.is_open])
        self._lost(partitions)

    def _lost(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._partitions[number].revoke()

    def _open_due(self) -> None:
        now_us = self._now_us()
        due = [partition for partition in self._partitions.values() if partition.is_due(now_us)]
        if due:
            self._opening.open(due)

    # --- from record to commit -----------------------------------------------------------------

    def _poll(self, max_wait_us: int) -> None:
        """Read records, and apply them when there are many or when they are due."""
        batches, ended = self._ticks.consume(_BATCH, min(max_wait_us, _POLL_US) / 1e6)
        now_us = self._now_us()
        for number, batch in batches.items():
            self._partitions[number].add(batch, now_us)
        for number in ended:
            self._partitions[number].reach_end(now_us)
        count = sum(partition.polled_count for partition in self._partitions.values())
        # Near the ends nothing may be left unapplied: the next publish may be an hour away.
        is_near_end = self._settings.until_end and sum(map(len, batches.values())) < _BATCH
        if count >= _RECORDS_PER_PARSE or is_near_end:
            self._parse()
            self._apply(0 if is_near_end else _BACKGROUND_PARSES)

    def _parse(self) -> None:
        """Start parsing the polled records in the background."""
        polled = [partition.take_polled() for partition in self._partitions.values()]
        self._parsing.start([records for records in polled if records])

    def _apply(self, leave: int) -> None:
        """Apply parsed records in order, except for the newest `leave` parses."""
        for records, batch in self._parsing.take(leave):
            self._partitions[records.task.number].apply(records, batch)

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
                f"topic {topic} was deleted and created again", self._settings.if_recreated
            )
        if state is TopicState.DELETED:
            raise StateError(
                f"topic {topic} was deleted", f"create it again, then {self._settings.if_recreated}"
            )
        return state is TopicState.SAME

    def _publish_all(self) -> None:
        self._apply_all()
        if self._open and self._is_same_topic():
            self._publishing.publish_due(self._partitions.values())

    def _at_ends(self) -> bool:
        if not self._settings.until_end or not (opened := self._open):
            return False
        is_waiting = any(p.phase is Phase.WAITING for p in self._partitions.values())
        return not is_waiting and all(partition.is_at_stop for partition in opened)

    def _close(self) -> None:
        self._pool.shutdown()
        self._lost([*self._partitions])
        self._ticks.close()
