"""The loop of `homma land`: polls topics, passes records to sinks, commits.

There is no consumer group: each table stores the offsets at which reading starts.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from homma.core.interval import Interval
from homma.durations import microseconds
from homma.errors import KafkaError, OffsetsLost, StateError
from homma.failpoint import OnStep, ignore_step
from homma.lake.land.candle_sink import CandleSink
from homma.lake.land.committing import RetryPolicy
from homma.lake.land.newest import FinalityRules
from homma.lake.land.sinks import Sink, SinkContext, SourceTopic, TickSink, hand_over
from homma.lake.schema import tables
from homma.lake.table import Lake, Table
from homma.lake.table.offsets import Offsets
from homma.metrics import Metrics
from homma.settings import LandSettings
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.consumer import PartitionConsumer, TopicAndPartition
from homma.topics.kafka.identity import TopicState, TopicWatch, ends_before, topic_state
from homma.topics.kafka.profiles import ASSIGNED
from homma.topics.kafka.reading import Message, Range, Reader

log = logging.getLogger("homma.land")

_BATCH_SIZE: Final = 10_000
_POLL_S: Final = 0.2
#: Maximum number of commits to a candle table per interval, up to an interval of an hour.
_COMMITS_PER_INTERVAL: Final = 60
_MINUTE: Final = timedelta(minutes=1)
#: Number of parallel commits: they mostly wait for the storage.
_PARALLEL_COMMITS: Final = 4


@dataclass(frozen=True, slots=True)
class LandingTopics:
    """Connection and topics to read."""

    connection: Connection
    topics: Topics
    admin: Admin

    @property
    def all(self) -> tuple[str, ...]:
        """The topics in the order of the tables."""
        return (self.topics.ticks, *self.topics.public_candles.values())


def commit_interval(interval: Interval, commit_every: timedelta) -> timedelta:
    """The time between commits to the table of an interval."""
    length = timedelta(microseconds=interval.longest_us)
    return max(commit_every, min(length / _COMMITS_PER_INTERVAL, _MINUTE))


def make_sinks(
    lake: Lake, sources: LandingTopics, settings: LandSettings, context: SinkContext
) -> list[Sink]:
    """One sink per table; creates missing tables, and upgrades those of older formats."""
    ids = {topic: sources.admin.topic_id(topic) for topic in sources.all}
    for topic, topic_id in ids.items():
        if topic_id is None:
            raise KafkaError(
                f"topic {topic} does not exist", "start `homma aggregate`, which creates the topics"
            )
    origins = {topic: SourceTopic(topic, topic_id or "") for topic, topic_id in ids.items()}
    specs = tables(sources.topics.calendar)
    for spec in specs:
        # Check all tables before creating any: an error then leaves nothing behind.
        lake.has_table(spec)
    opened = [lake.ensure_table(spec) for spec in specs]
    for table, topic in zip(opened, sources.all, strict=True):
        _check_topic(table.name, table.offsets(), origins[topic])
    with ThreadPoolExecutor(_PARALLEL_COMMITS, "table") as pool:
        make = partial(_make_sink, settings=settings, context=context)
        return [sink for sink in pool.map(make, opened, origins.values()) if sink]


def _make_sink(
    table: Table, origin: SourceTopic, settings: LandSettings, context: SinkContext
) -> Sink | None:
    table.upgrade()
    interval = table.spec.interval
    if interval is None:
        every_s = settings.commit_every.total_seconds()
        return TickSink(table, origin, context, every_s, microseconds(settings.max_future))
    if settings.candles_by != "homma":
        hand_over(settings.candles_by, table, origin, context)
        return None
    every_s = commit_interval(interval, settings.commit_every).total_seconds()
    rules = FinalityRules(
        interval, microseconds(settings.watermark_delay), microseconds(settings.idle_timeout)
    )
    return CandleSink(table, origin, context, every_s, rules)


class Landing:
    """Writes the records of all topics to their tables."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        sources: LandingTopics,
        settings: LandSettings,
        context: SinkContext,
    ) -> None:
        self._sinks = {sink.origin.topic: sink for sink in sinks}
        self._sources = sources
        self._settings = settings
        self._context = context
        self._reader = PartitionConsumer(sources.connection, ASSIGNED)
        self._offsets = Reader(sources.connection)
        self._pool = ThreadPoolExecutor(_PARALLEL_COMMITS, "table")
        self._due_s: dict[str, float] = {}
        self._reached_end: dict[TopicAndPartition, int] = {}
        #: Commits in progress, by topic.
        self._commits: dict[str, Future[None]] = {}
        self._watches = {
            topic: TopicWatch(
                topic,
                sink.origin.topic_id,
                partial(sources.admin.topic_id, topic),
                context.clock_s,
            )
            for topic, sink in self._sinks.items()
        }

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run until `stopped`; with `until_end`, only to the ends of the topics at the start."""
        try:
            ends = self._start()
            now_s = self._context.clock_s()
            self._due_s = {topic: now_s + sink.every_s for topic, sink in self._sinks.items()}
            while not stopped():
                self._poll()
                self._finish_commits(wait_for=[s for s in self._commits if self._sinks[s].is_full])
                self._land(self._due())
                if self._settings.until_end and self._has_reached(ends):
                    break
            self._finish_commits(wait_for=[*self._commits])
            self._land([sink for sink in self._sinks.values() if sink.needs_commit])
            self._finish_commits(wait_for=[*self._commits])
        finally:
            self._pool.shutdown()
            self._reader.close()
            self._offsets.close()

    def _start(self) -> dict[TopicAndPartition, int]:
        """Start reading at the tables' offsets; returns the current end of each partition."""
        counts = self._sources.admin.partitions()
        starts: dict[TopicAndPartition, int] = {}
        ends: dict[TopicAndPartition, int] = {}
        for topic, sink in self._sinks.items():
            for partition in range(counts.get(topic, 0)):
                offsets = self._offsets.offset_range(topic, partition)
                next_offset = sink.known_offsets.next.get(partition)
                starts[topic, partition] = self._start_offset(
                    topic, partition, offsets, next_offset
                )
                ends[topic, partition] = offsets.end
        self._reader.start(starts)
        self._reached_end = dict(starts)
        for topic, sink in self._sinks.items():
            log.info(
                "%s into %s, from offsets %s",
                topic,
                sink.table.name,
                [offset for (name, _), offset in starts.items() if name == topic],
            )
        return ends

    def _start_offset(
        self, topic: str, partition: int, offsets: Range, next_offset: int | None
    ) -> int:
        if next_offset is None:
            return offsets.start
        if ends_before(offsets.end, next_offset):
            raise StateError(
                f"{topic} partition {partition} ends at offset {offsets.end}, but the lake has "
                f"records up to {next_offset}",
                "check whether the topic was replaced; use another --namespace for a new topic",
            )
        if next_offset >= offsets.start:
            return next_offset
        if topic != self._sources.topics.ticks:
            # Missing candles were replaced by newer records, or deleted by the topic's retention.
            log.info("%s partition %d now starts at offset %d", topic, partition, offsets.start)
            return offsets.start
        if not self._settings.accept_loss:
            raise OffsetsLost(
                f"Kafka has deleted offsets {next_offset} to {offsets.start - 1} of {topic} "
                f"partition {partition}, and the lake does not have them",
                "load these ticks with `homma backfill`, or continue without them with "
                "--accept-loss",
            )
        log.warning(
            "%s partition %d: offsets %d to %d are lost",
            topic,
            partition,
            next_offset,
            offsets.start - 1,
        )
        return offsets.start

    def _poll(self) -> None:
        batch = self._reader.consume(_BATCH_SIZE, _POLL_S)
        by_topic: dict[str, dict[int, list[Message]]] = {}
        for (topic, partition), messages in batch.by_partition().items():
            by_topic.setdefault(topic, {})[partition] = messages
            self._reached_end[topic, partition] = (messages[-1].offset() or 0) + 1
        for topic, batches in by_topic.items():
            self._sinks[topic].add(batches)
        for (topic, partition), offset in batch.ends.items():
            self._sinks[topic].on_partition_end(partition, offset)
            self._reached_end[topic, partition] = offset
        for topic, partition in batch.lost:
            self._restart_partition(topic, partition)

    def _restart_partition(self, topic: str, partition: int) -> None:
        """Restart a partition whose next offset is gone: by retention, or in a new topic."""
        self._are_topics_same([self._sinks[topic]])
        offsets = self._offsets.offset_range(topic, partition)
        next_offset = self._reached_end[topic, partition]
        self._reader.start(
            {(topic, partition): self._start_offset(topic, partition, offsets, next_offset)}
        )

    def _due(self) -> list[Sink]:
        now_s = self._context.clock_s()
        return [
            sink
            for topic, sink in self._sinks.items()
            if topic not in self._commits
            and (sink.is_full or (now_s >= self._due_s[topic] and sink.needs_commit))
        ]

    def _land(self, due: Sequence[Sink]) -> None:
        """Start commits to tables in parallel; reading continues."""
        if not due or not self._are_topics_same(due):
            return
        now_s = self._context.clock_s()
        for sink in due:
            topic = sink.origin.topic
            self._commits[topic] = self._pool.submit(_commit_and_maintain, sink, sink.cut_batch())
            self._due_s[topic] = now_s + sink.every_s

    def _finish_commits(self, wait_for: Sequence[str]) -> None:
        """Wait for some commits, then remove all that have ended and raise their errors."""
        wait([self._commits[topic] for topic in wait_for])
        for topic in [topic for topic, commit in self._commits.items() if commit.done()]:
            self._commits.pop(topic).result()
            self._sinks[topic].show_lag(self._ends_seen(topic))

    def _ends_seen(self, topic: str) -> dict[int, int]:
        ends = {
            number: self._reader.known_end((name, number))
            for name, number in self._reached_end
            if name == topic
        }
        return {number: end for number, end in ends.items() if end is not None}

    def _are_topics_same(self, sinks: Sequence[Sink]) -> bool:
        """Whether the topics are still those that were read; False if they are away."""
        for sink in sinks:
            topic = sink.origin.topic
            state = self._watches[topic].state()
            if state is TopicState.RECREATED:
                raise _recreated_topic_error(topic, sink.table.name)
            if state is TopicState.DELETED:
                raise StateError(
                    f"topic {topic} was deleted", "create it again, or stop `homma land`"
                )
            if state is TopicState.AWAY:
                return False
        return True

    def _has_reached(self, ends: Mapping[TopicAndPartition, int]) -> bool:
        return all(self._reached_end[partition] >= end for partition, end in ends.items())


def _commit_and_maintain(sink: Sink, commit: Callable[[], None]) -> None:
    commit()
    if sink.maintenance_due:
        sink.maintain()


def _check_topic(table: str, offsets: Offsets | None, origin: SourceTopic) -> None:
    if offsets is None:
        return
    if offsets.topic != origin.topic:
        raise StateError(
            f"{table} was filled from the topic {offsets.topic}, not {origin.topic}",
            "set that topic with --topic or --candle-topic, or choose another --namespace",
        )
    if topic_state(offsets.topic_id, origin.topic_id) is not TopicState.SAME:
        raise _recreated_topic_error(origin.topic, table)


def _recreated_topic_error(topic: str, table: str) -> StateError:
    return StateError(
        f"topic {topic} was deleted and created again, but {table} was filled from the old topic",
        "choose another --namespace for the new topic, or drop the table to fill it again",
    )


def make_landing(
    lake: Lake,
    sources: LandingTopics,
    settings: LandSettings,
    metrics: Metrics,
    stopped: Callable[[], bool],
    on_step: OnStep = ignore_step,
) -> Landing:
    """Create the landing loop; connects to Kafka and the catalog."""
    context = SinkContext(
        RetryPolicy(stopped),
        metrics,
        on_step,
        orphan_retention_s=settings.orphan_retention.total_seconds(),
        maintain_every=settings.maintain_every,
    )
    return Landing(make_sinks(lake, sources, settings, context), sources, settings, context)
