"""Ticks through a topic keyed by series, for feeds that scatter a series over partitions.

    stock_ticks ──▶ Rekey ──▶ stock_ticks_by_series ──▶ the engine

Exactly once, as the engine itself: a transaction carries the ticks and the offset they came from.
Value, timestamp and headers stay as they are; headers that are added say where a tick came from,
and what its key was. Broken ticks have no series: they go to the dead topic from here.
"""

import logging
import math
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

import polars as pl

from homma.aggregate.loop import Loop
from homma.aggregate.origin import origin, origin_of_rekeyed
from homma.aggregate.restore import check_offset
from homma.aggregate.stage import LoopSettings, PartitionTask, TickTopics
from homma.durations import microseconds
from homma.errors import StateError
from homma.failpoint import Reached, ignored
from homma.metrics import Metrics
from homma.settings import AggregateSettings
from homma.topics.contract import Headers, Topics
from homma.topics.kafka.reading import Committed, Message, Range, Reader
from homma.topics.kafka.writing import ANY_PARTITION, Aborted, Transactions
from homma.topics.offset_metadata import RekeyMetadata, read_rekey_metadata
from homma.topics.ticks import ParsedBatch

log = logging.getLogger("homma.aggregate")

# Of a partition that is ahead of others so many ticks are held before it is asked to wait, and
# with so few it is asked to go on.
_MUCH: Final = 40_000
_LITTLE: Final = 10_000

Run = Callable[[Callable[[], bool]], None]
# Nothing readable for so long: an open transaction ends within its timeout of 10 s.
_PATIENCE_S: Final = 30.0


class WatermarkAlignment:
    """How far the partitions of this process are, in event time.

    The ticks of a series come from many partitions. While one of them is behind, the others wait
    for it: else its ticks would be late behind theirs.
    """

    def __init__(self, ahead_us: int) -> None:
        self._ahead_us = ahead_us
        self._behind_us: dict[int, float] = {}

    def advance(self, number: int, newest_us: float, oldest_us: float) -> None:
        """A partition has been read up to an instant, and ticks from another one on wait.

        Infinity: it has been read to its end, or none waits.
        """
        self._behind_us[number] = min(newest_us, oldest_us)

    def forget(self, number: int) -> None:
        """A partition is another's now."""
        self._behind_us.pop(number, None)

    @property
    def limit_us(self) -> float:
        """Ticks up to this instant may go on."""
        return min(self._behind_us.values(), default=math.inf) + self._ahead_us


@dataclass(frozen=True, slots=True)
class Moved:
    """A record on its way to another topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers
    offset: int


class Rekeyed:
    """A partition of scattered ticks."""

    def __init__(
        self,
        sources: TickTopics,
        number: int,
        offset: int,
        transactions: Transactions,
        onto_id: str,
        front: WatermarkAlignment,
        metrics: Metrics,
    ) -> None:
        self.number = number
        self._topics: Topics = sources.topics
        self._topic_id = sources.topic_id
        self._onto_id = onto_id
        self._transactions = transactions
        self._front = front
        self._metrics = metrics
        #: After the last record taken, and after the last one committed.
        self._taken = self._done = offset
        self._waiting: list[Moved] = []
        #: Of each waiting record the largest dateTime up to it.
        self._stamps_us: list[int] = []
        self._newest_us = 0
        self._ended = False
        self._full = False
        self._stand()

    @property
    def offset(self) -> int:
        """After the last tick taken."""
        return self._taken

    @property
    def settled(self) -> bool:
        """Whether all that was taken has gone on."""
        return self._done == self._taken

    @property
    def full(self) -> bool:
        """Whether too many wait for other partitions."""
        self._full = len(self._waiting) > (_LITTLE if self._full else _MUCH)
        return self._full

    @property
    def more(self) -> bool:
        """Whether ticks wait that may go on now."""
        return bool(self._stamps_us) and self._stamps_us[0] <= self._front.limit_us

    def _stand(self) -> None:
        newest_us = math.inf if self._ended else self._newest_us
        oldest_us = self._stamps_us[0] if self._stamps_us else math.inf
        self._front.advance(self.number, newest_us, oldest_us)

    def take(self, found: ParsedBatch, monotonic_us: int) -> None:
        """Find the series of records."""
        del monotonic_us
        errors: dict[int, str] = dict(found.bad.iter_rows())
        key = pl.format("{}:{}", "source", "symbol").alias("key")
        keys = {
            row: (key, at) for row, key, at in found.valid.select("row", key, "event_us").rows()
        }
        for row, message in enumerate(found.messages):
            of_series, at_us = keys.get(row, (None, 0))
            self._newest_us = max(self._newest_us, at_us)
            self._waiting.append(self._moved(message, of_series, errors.get(row, "")))
            self._stamps_us.append(self._newest_us)
        self._taken = found.end
        self._ended = False
        self._stand()
        self._metrics.count("homma_ticks_read", len(found.messages))

    def _moved(self, message: Message, key: str | None, error: str) -> Moved:
        came = origin(message)
        if key is None:
            onto, partition = self._topics.dead, self.number
        else:
            onto, partition = self._topics.by_series, ANY_PARTITION
        return Moved(
            topic=onto,
            partition=partition,
            key=came.key if key is None else key.encode(),
            value=message.value(),
            timestamp_ms=message.timestamp()[1],
            headers=came.refused(error) if key is None else came.rekeyed(),
            offset=came.offset,
        )

    def at_end(self, monotonic_us: int) -> None:
        """The others need not wait for this partition."""
        del monotonic_us
        self._ended = True
        self._stand()

    def publish(self, monotonic_us: int, owner: object) -> bool:
        """Send on what need not wait, in one transaction; False if it was rolled back."""
        del monotonic_us
        due = bisect_right(self._stamps_us, self._front.limit_us)
        if due == 0:
            return True
        going = self._waiting[:due]
        offset = going[-1].offset + 1
        mark = RekeyMetadata(lastTicksBefore=offset, topicId=self._topic_id, ontoId=self._onto_id)
        try:
            self._transactions.begin()
            for topic in (self._topics.dead, self._topics.by_series):
                self._send([one for one in going if one.topic == topic])
            self._transactions.commit(self._topics.ticks, self.number, offset, mark.text(), owner)
        except Aborted as error:
            log.warning("partition %d: %s", self.number, error)
            self._transactions.abort()
            self._waiting, self._stamps_us, self._taken = [], [], self._done
            self._ended = False
            self._stand()
            self._metrics.count("homma_transactions", 1, "aborted")
            return False
        self._waiting, self._stamps_us = self._waiting[due:], self._stamps_us[due:]
        self._done = offset
        self._stand()
        self._metrics.count("homma_transactions", 1, "committed")
        self._metrics.count(
            "homma_ticks_dead", sum(one.topic == self._topics.dead for one in going)
        )
        return True

    def _send(self, records: list[Moved]) -> None:
        if records:
            self._transactions.send(
                records[0].topic,
                records[0].partition,
                [one.key for one in records],
                [one.value for one in records],
                [one.timestamp_ms for one in records],
                [one.headers for one in records],
            )

    def close(self) -> None:
        """Let go of the producer."""
        self._transactions.close()


class Rekey:
    """What is done with partitions of scattered ticks."""

    def __init__(
        self, sources: TickTopics, settings: AggregateSettings, onto_id: str, metrics: Metrics
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._onto_id = onto_id
        self._metrics = metrics
        # Far below allowed_lateness, so that none gets late by being overtaken.
        self._front = WatermarkAlignment(microseconds(settings.allowed_lateness) // 10)

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask:
        """Go on after the last tick that was sent on."""
        return Rekeyed(
            self._sources,
            number,
            self._start(number, committed, reader),
            transactions,
            self._onto_id,
            self._front,
            self._metrics,
        )

    def _start(self, number: int, committed: Committed | None, reader: Reader) -> int:
        topics = self._sources.topics
        where = f"{topics.ticks} partition {number}"
        anew = f"delete the topic {topics.by_series} and start with --rekey --rebuild"
        ticks = reader.kept(topics.ticks, number)
        if committed is None:
            if self._sent_before(number, reader):
                raise StateError(
                    f"{topics.by_series} holds ticks of {where}, but the group has no committed "
                    f"offset for them (it was reset, or {topics.ticks} made again)",
                    anew,
                )
            return ticks.start
        mark = read_rekey_metadata(committed.metadata, where)
        if mark.ontoId != self._onto_id:
            # What was sent on is gone with the topic it was sent to.
            return ticks.start
        same = mark.topicId == self._sources.topic_id
        check_offset(where, committed.offset, mark.lastTicksBefore, ticks, same, anew)
        return committed.offset

    def _sent_before(self, number: int, reader: Reader) -> bool:
        """Whether a tick of the partition has been sent on; looks at all of them if need be."""
        topics = self._sources.topics
        for partition in range(self._sources.partitions):
            wanted: dict[str, Range] = {topics.by_series: reader.kept(topics.by_series, partition)}
            for batch in reader.read(partition, wanted, _PATIENCE_S):
                if any(origin_of_rekeyed(message).partition == number for message in batch):
                    return True
        return False

    def on_applied(self, work: PartitionTask) -> None:
        """Nothing to look at."""

    def on_revoked(self, number: int) -> None:
        """The others need not wait for it."""
        self._front.forget(number)


def rekeying(
    sources: TickTopics,
    settings: AggregateSettings,
    onto_id: str,
    metrics: Metrics,
    monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    reached: Reached = ignored,
) -> Loop:
    """The loop that keys ticks by their series; `onto_id` is the id of the topic they go to."""
    pace = LoopSettings(
        f"{settings.group}-rekey", settings.emit_every, settings.max_future, settings.until_end
    )
    stage = Rekey(sources, settings, onto_id, metrics)
    return Loop(sources, pace, stage, metrics, monotonic_us, reached)


def beside(first: Run, second: Run, stopped: Callable[[], bool]) -> None:
    """Run both until `stopped`; when one fails the other ends too, and its error is raised."""
    over = Event()
    failed: list[BaseException] = []

    def run_first() -> None:
        try:
            first(lambda: over.is_set() or stopped())
        except BaseException as error:  # noqa: BLE001  raised in the caller's thread
            failed.append(error)
        finally:
            over.set()

    thread = Thread(target=run_first, name="rekey")
    thread.start()
    try:
        second(lambda: over.is_set() or stopped())
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
