"""The engine's loop: poll, apply, publish, commit. It decides nothing.

A partition is opened when the group assigns it: its producer takes over the transactional id,
which ends whatever a predecessor left open, and its window is restored. It is closed when it is
revoked, after a last commit. Whatever goes wrong in between ends in opening it again.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from homma.aggregate import restore
from homma.aggregate.partition import Partition
from homma.aggregate.restore import Restored, Source
from homma.core.window import Rules
from homma.errors import Fenced, KafkaError, SplitSeries, StateError, TopicMismatch
from homma.metrics import Metrics
from homma.settings import AggregateSettings, microseconds
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import GroupReader, Message, Reader
from homma.topics.kafka.writing import Indefinite, Transactions

log = logging.getLogger("homma.aggregate")

_BATCH: Final = 20_000
_TRANSACTION_MS: Final = 10_000
_SESSION_MS: Final = 6_000
# Who was fenced waits this long for the group to say whether the partition is still its own.
_FENCED_US: Final = (_SESSION_MS + 1_000) * 1000
_AGAIN_US: Final = 1_000_000
# No longer without asking whether to stop.
_POLL_US: Final = 200_000
_GONE_US: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the engine reads and writes."""

    config: Connection
    topics: Topics
    #: The topic of ticks as it was found.
    topic_id: str
    partitions: int
    #: Its id now, None where there is no such topic.
    topic_id_now: Callable[[], str | None]


def sources(config: Connection, topics: Topics, admin: Admin) -> Sources:
    """The sources as they are found now; KafkaError where there is no topic of ticks."""
    partitions = admin.require(topics.ticks)
    topic_id = admin.topic_id(topics.ticks)
    if topic_id is None:
        raise KafkaError(f"topic {topics.ticks} has just been deleted", "make it, and start again")
    return Sources(config, topics, topic_id, partitions, lambda: admin.topic_id(topics.ticks))


@dataclass(slots=True)
class Taken:
    """Records of a partition that are not applied yet. Monotonic microseconds."""

    began_us: int
    messages: list[Message] = field(default_factory=list)
    #: When the partition's end was reached, if it was.
    ended_us: int | None = None


class Engine:
    """Candles from ticks, for the partitions that the consumer group gives this process."""

    def __init__(
        self,
        sources: Sources,
        settings: AggregateSettings,
        metrics: Metrics,
        monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._metrics = metrics
        self._now_us = monotonic_us
        self._rules = Rules(
            price=settings.price,
            lateness_us=microseconds(settings.lateness),
            correct_for_us=microseconds(settings.correct_for),
            idle_after_us=microseconds(settings.idle_after),
        )
        self._ticks = GroupReader(sources.config, settings.group, sources.topics.ticks, _SESSION_MS)
        self._reader = Reader(sources.config)
        #: Partitions that are read, and those to open, with when to try.
        self._open: dict[int, Partition] = {}
        self._waiting: dict[int, int] = {}
        self._taken: dict[int, Taken] = {}
        self._rebuilt: set[int] = set()
        self._gone_since_us: int | None = None
        self._ends: dict[int, int] = {}
        self._owners: dict[tuple[str, str], int] = {}
        self._known: dict[int, int] = {}

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped`, or with `until_end` until all that was there is worked off."""
        every_us = microseconds(self._settings.emit_every)
        self._ticks.join(self._assigned, self._revoked, self._lost)
        due_us = self._now_us() + every_us
        try:
            while not stopped():
                self._open_waiting()
                self._poll(max(0, due_us - self._now_us()))
                if self._now_us() >= due_us:
                    self._apply()
                    self._publish_all()
                    due_us = self._now_us() + every_us
                if self._finished():
                    # A commit that was put off or rolled back is made up for in the next round.
                    self._publish_all()
                    if self._finished() and all(p.settled for p in self._open.values()):
                        break
            self._apply()
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
        self._apply()
        if self._same_topic():
            for number in partitions:
                if number in self._open:
                    self._publish(self._open[number])
        self._lost(partitions)

    def _lost(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._waiting.pop(number, None)
            self._drop(number)

    def _drop(self, number: int) -> None:
        partition = self._open.pop(number, None)
        self._taken.pop(number, None)
        if partition is not None:
            partition.close()
            self._known.pop(number, None)
            self._owners = {name: p for name, p in self._owners.items() if p != number}

    def _reopen(self, number: int, error: KafkaError, after_us: int) -> None:
        log.warning("partition %d: %s", number, error)
        self._drop(number)
        self._ticks.hold([number])
        self._waiting[number] = self._now_us() + after_us

    def _open_waiting(self) -> None:
        for number, from_us in list(self._waiting.items()):
            if self._now_us() < from_us:
                continue
            if number >= self._sources.partitions:
                raise TopicMismatch(
                    f"{self._sources.topics.ticks} had {self._sources.partitions} partitions and "
                    f"has now {number + 1} or more",
                    "series have moved: make topics of candles with as many, then --rebuild",
                )
            try:
                partition = self._opened(number)
            except KafkaError as error:
                log.warning("partition %d cannot be opened yet: %s", number, error)
                self._waiting[number] = self._now_us() + _AGAIN_US
                continue
            del self._waiting[number]
            self._open[number] = partition
            self._enrol(partition)
            self._ticks.start(number, partition.offset)

    def _opened(self, number: int) -> Partition:
        """Take the partition over: producer first, then offset, candles and identities."""
        started = time.perf_counter()
        name = f"homma-{self._settings.group}-{self._sources.topics.ticks}-{number}"
        transactions = Transactions(self._sources.config, name, _TRANSACTION_MS)
        try:
            transactions.init()
            state = self._state(self._source(number))
        except BaseException:
            transactions.close()
            raise
        if self._settings.until_end and number not in self._ends:
            self._ends[number] = self._reader.kept(self._sources.topics.ticks, number).end
        seconds = time.perf_counter() - started
        self._metrics.observe("homma_restore_seconds", seconds)
        log.info(
            "partition %d: %d series, goes on at offset %d (restored in %.2f s)",
            number, state.window.series.height, state.offset, seconds,
        )  # fmt: skip
        return Partition(self._source(number), state, transactions, self._metrics)

    def _source(self, number: int) -> Source:
        return Source(
            reader=self._reader,
            topics=self._sources.topics,
            partition=number,
            rules=self._rules,
            max_future_us=microseconds(self._settings.max_future),
            topic_id=self._sources.topic_id,
        )

    def _state(self, source: Source) -> Restored:
        committed = self._ticks.committed(source.partition)
        run = uuid.uuid4().hex[:12]
        if self._settings.rebuild and source.partition not in self._rebuilt:
            self._rebuilt.add(source.partition)
            state = restore.rebuilt(source, run)
            for code, start_us in restore.left_alone(state.window.rules.begin_us):
                log.warning(
                    "left alone, as ticks of it are gone: %s from %s, partition %d",
                    self._sources.topics.candles[code],
                    datetime.fromtimestamp(start_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M"),
                    source.partition,
                )
            return state
        if committed is None:
            return restore.fresh(source, run)
        return restore.restored(source, committed)

    # --- the way of a tick ---------------------------------------------------------------------

    def _poll(self, most_us: int) -> None:
        """Take what there is; it is applied when it is much, or when it is due."""
        messages, ended = self._ticks.consume(_BATCH, min(most_us, _POLL_US) / 1e6)
        now_us = self._now_us()
        for number, batch in _by_partition(messages).items():
            if number in self._open:
                taken = self._taken.setdefault(number, Taken(now_us))
                taken.messages.extend(batch)
                taken.ended_us = None
        for number in ended:
            if number in self._open:
                self._taken.setdefault(number, Taken(now_us)).ended_us = now_us
        if self._settings.until_end or sum(len(t.messages) for t in self._taken.values()) >= _BATCH:
            self._apply()

    def _apply(self) -> None:
        waiting, self._taken = self._taken, {}
        for number, taken in waiting.items():
            partition = self._open[number]
            if taken.messages:
                partition.take(taken.messages, taken.began_us)
                self._enrol(partition)
            if taken.ended_us is None:
                continue
            if self._settings.until_end:
                self._ends[number] = min(self._ends[number], partition.offset)
            else:
                partition.at_end(taken.ended_us)

    def _enrol(self, partition: Partition) -> None:
        """One series in two partitions would give two half candles of one key."""
        series, known = partition.series, self._known.get(partition.number, 0)
        for source, symbol in series.slice(known).select("source", "symbol").iter_rows():
            owner = self._owners.setdefault((source, symbol), partition.number)
            if owner != partition.number:
                raise SplitSeries(
                    f"series {source}:{symbol} of {self._sources.topics.ticks} stands in "
                    f"partitions {owner} and {partition.number}",
                    "key the records SOURCE:SYMBOL where they are produced",
                )
        self._known[partition.number] = series.height
        self._metrics.show("homma_series", len(self._owners))

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
        if not self._open or not self._same_topic():
            return
        for partition in list(self._open.values()):
            self._publish(partition)
            self._show_lag(partition)

    def _publish(self, partition: Partition) -> None:
        try:
            if not partition.publish(self._now_us(), self._ticks.owner()):
                log.warning("partition %d: rolled back, reads again", partition.number)
                self._ticks.start(partition.number, partition.offset)
        except Fenced as error:
            self._metrics.count("homma_transactions", 1, "fenced")
            self._reopen(partition.number, error, _FENCED_US)
        except Indefinite as error:
            self._metrics.count("homma_transactions", 1, "indefinite")
            self._reopen(partition.number, error, 0)

    def _show_lag(self, partition: Partition) -> None:
        end = self._ticks.end_seen(partition.number)
        if end is not None:
            lag = max(0, end - partition.offset)
            self._metrics.show("homma_lag_ticks", lag, str(partition.number))

    def _finished(self) -> bool:
        if not self._settings.until_end or self._waiting or not self._open:
            return False
        return all(p.offset >= self._ends[number] for number, p in self._open.items())

    def _close(self) -> None:
        for number in list(self._open):
            self._drop(number)
        self._ticks.close()
        self._reader.close()


def _by_partition(messages: list[Message]) -> dict[int, list[Message]]:
    batches: dict[int, list[Message]] = {}
    for message in messages:
        number = message.partition() or 0
        if number in batches:
            batches[number].append(message)
        else:
            batches[number] = [message]
    return batches
