"""The loop of `homma land`: polls topics, passes records to sinks, starts their commits.

There is no consumer group: each sink knows the offsets at which reading starts. `sink.py` defines
what a sink is, and the loop knows no particular one.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

from homma.errors import KafkaError, OffsetsLost, StateError
from homma.lake.land.sink import Pending, Sink, SinkFactory, SourceTopic
from homma.metrics import Metrics
from homma.settings import LandSettings
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.assigned import AssignedReader, TopicAndPartition
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Message, Range, Reader

log = logging.getLogger("homma.land")

_BATCH_SIZE: Final = 10_000
_POLL_S: Final = 0.2
#: Number of parallel commits: they mostly wait for the storage.
_PARALLEL_COMMITS: Final = 4
_MAX_MISSING_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LandingTopics:
    """Connection and topics to read."""

    config: Connection
    topics: Topics
    admin: Admin

    def sources(self) -> list[SourceTopic]:
        """The topics to land, that of the ticks first; KafkaError if one does not exist."""
        candles = self.topics.public_candles.values()
        intervals = dict(zip(candles, self.topics.calendar, strict=True))
        return [
            SourceTopic(topic, self._topic_id(topic), intervals.get(topic))
            for topic in (self.topics.ticks, *candles)
        ]

    def _topic_id(self, topic: str) -> str:
        topic_id = self.admin.topic_id(topic)
        if topic_id is None:
            raise KafkaError(
                f"topic {topic} does not exist", "start `homma aggregate`, which creates the topics"
            )
        return topic_id


class Landing:
    """Passes the records of all topics to their sinks."""

    def __init__(
        self,
        sinks: Sequence[Sink[Any]],
        topics: LandingTopics,
        settings: LandSettings,
        metrics: Metrics,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = {sink.source.topic: sink for sink in sinks}
        self._topics = topics
        self._settings = settings
        self._metrics = metrics
        self._clock_s = clock_s
        self._reader = AssignedReader(topics.config)
        self._offsets = Reader(topics.config)
        self._pool = ThreadPoolExecutor(_PARALLEL_COMMITS, "table")
        self._due_s: dict[str, float] = {}
        #: The next offset to read of each partition.
        self._next_offsets: dict[TopicAndPartition, int] = {}
        #: Commits in progress, by topic.
        self._commits: dict[str, Future[None]] = {}
        self._missing_since_s: float | None = None

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run until `stopped`; with `until_end`, only to the ends of the topics at the start."""
        try:
            ends = self._start()
            now_s = self._clock_s()
            self._due_s = {
                topic: now_s + sink.commit_every_s for topic, sink in self._sinks.items()
            }
            while not stopped():
                self._poll()
                self._finish_commits(wait_for=[t for t in self._commits if self._is_full(t)])
                self._start_commits(self._due())
                if self._settings.until_end and self._has_reached(ends):
                    break
            self._finish_commits(wait_for=[*self._commits])
            self._start_commits([s for s in self._sinks.values() if s.pending != Pending.NOTHING])
            self._finish_commits(wait_for=[*self._commits])
        finally:
            self._pool.shutdown()
            self._reader.close()
            self._offsets.close()

    def _start(self) -> dict[TopicAndPartition, int]:
        """Start reading at the sinks' positions; returns the current end of each partition."""
        counts = self._topics.admin.partitions()
        starts: dict[TopicAndPartition, int] = {}
        ends: dict[TopicAndPartition, int] = {}
        for topic, sink in self._sinks.items():
            for partition in range(counts.get(topic, 0)):
                offsets = self._offsets.offset_range(topic, partition)
                next_offset = sink.position.get(partition)
                starts[topic, partition] = self._start_offset(
                    topic, partition, offsets, next_offset
                )
                ends[topic, partition] = offsets.end
        self._reader.start(starts)
        self._next_offsets = dict(starts)
        for topic, sink in self._sinks.items():
            offsets_of_topic = [offset for (name, _), offset in starts.items() if name == topic]
            log.info("%s into %s, from offsets %s", topic, sink.name, offsets_of_topic)
        return ends

    def _start_offset(
        self, topic: str, partition: int, offsets: Range, next_offset: int | None
    ) -> int:
        if next_offset is None:
            return offsets.start
        if next_offset > offsets.end:
            raise StateError(
                f"{topic} partition {partition} ends at offset {offsets.end}, but the lake has "
                f"records up to {next_offset}",
                "check whether the topic was replaced; use another --namespace for a new topic",
            )
        if next_offset < offsets.start:
            self._report_gap(topic, partition, Range(next_offset, offsets.start))
        return max(next_offset, offsets.start)

    def _report_gap(self, topic: str, partition: int, gap: Range) -> None:
        """Log offsets that Kafka has deleted; OffsetsLost if they are ticks that must not be."""
        if topic != self._topics.topics.ticks:
            # Missing candles were replaced by newer records, or deleted by the topic's retention.
            log.info("%s partition %d now starts at offset %d", topic, partition, gap.end)
            return
        last = gap.end - 1
        if not self._settings.accept_loss:
            raise OffsetsLost(
                f"Kafka has deleted offsets {gap.start} to {last} of {topic} "
                f"partition {partition}, and the lake does not have them",
                "load these ticks with `homma backfill`, or continue without them with "
                "--accept-loss",
            )
        log.warning("%s partition %d: offsets %d to %d are lost", topic, partition, gap.start, last)

    def _poll(self) -> None:
        batch = self._reader.consume(_BATCH_SIZE, _POLL_S)
        records: dict[str, dict[int, list[Message]]] = {}
        for (topic, partition), messages in batch.records.items():
            records.setdefault(topic, {})[partition] = messages
            self._next_offsets[topic, partition] = (messages[-1].offset() or 0) + 1
        ends: dict[str, dict[int, int]] = {}
        for (topic, partition), end in batch.ends.items():
            ends.setdefault(topic, {})[partition] = end
            # Records may have followed in the same batch.
            known = self._next_offsets[topic, partition]
            self._next_offsets[topic, partition] = max(known, end)
        for topic in {**records, **ends}:
            self._sinks[topic].take(records.get(topic, {}), ends.get(topic, {}))
        for topic, partition in batch.lost:
            self._restart_partition(topic, partition)

    def _restart_partition(self, topic: str, partition: int) -> None:
        """Restart a partition whose next offset is gone: by retention, or in a new topic."""
        self._are_topics_same([self._sinks[topic]])
        offsets = self._offsets.offset_range(topic, partition)
        next_offset = self._next_offsets[topic, partition]
        self._reader.start(
            {(topic, partition): self._start_offset(topic, partition, offsets, next_offset)}
        )

    def _is_full(self, topic: str) -> bool:
        return self._sinks[topic].pending == Pending.FULL

    def _due(self) -> list[Sink[Any]]:
        now_s = self._clock_s()
        idle = [topic for topic in self._sinks if topic not in self._commits]
        return [self._sinks[topic] for topic in idle if self._is_due(topic, now_s)]

    def _is_due(self, topic: str, now_s: float) -> bool:
        pending = self._sinks[topic].pending
        return pending == Pending.FULL or (pending == Pending.SOME and now_s >= self._due_s[topic])

    def _start_commits(self, due: Sequence[Sink[Any]]) -> None:
        """Start commits of several sinks in parallel; reading continues."""
        if not due or not self._are_topics_same(due):
            return
        now_s = self._clock_s()
        for sink in due:
            topic = sink.source.topic
            self._commits[topic] = self._pool.submit(sink.commit, sink.cut())
            self._due_s[topic] = now_s + sink.commit_every_s

    def _finish_commits(self, wait_for: Sequence[str]) -> None:
        """Wait for some commits, then remove all that have ended and raise their errors."""
        wait([self._commits[topic] for topic in wait_for])
        for topic in [topic for topic, commit in self._commits.items() if commit.done()]:
            self._commits.pop(topic).result()
            self._show_lag(self._sinks[topic])

    def _show_lag(self, sink: Sink[Any]) -> None:
        position = sink.position
        # Until the first commit, offsets that compaction has removed count too.
        lag = sum(
            max(0, end - position.get(partition, 0))
            for partition, end in self._ends_seen(sink.source.topic).items()
        )
        self._metrics.set("homma_lake_lag_records", lag, sink.label)

    def _ends_seen(self, topic: str) -> dict[int, int]:
        ends = {
            number: self._reader.known_end((name, number))
            for name, number in self._next_offsets
            if name == topic
        }
        return {number: end for number, end in ends.items() if end is not None}

    def _are_topics_same(self, sinks: Sequence[Sink[Any]]) -> bool:
        """Whether the topics are still those that were read; False if Kafka is unreachable."""
        try:
            ids = {s.source.topic: self._topics.admin.topic_id(s.source.topic) for s in sinks}
        except KafkaError as error:
            log.warning("commits wait until Kafka is reachable: %s", error)
            return False
        for sink in sinks:
            topic = sink.source.topic
            topic_id = ids[topic]
            if topic_id is not None:
                sink.source.require_same(sink.name, topic, topic_id)
        return self._do_all_exist(ids)

    def _do_all_exist(self, ids: Mapping[str, str | None]) -> bool:
        missing = [topic for topic, topic_id in ids.items() if topic_id is None]
        if not missing:
            self._missing_since_s = None
            return True
        now_s = self._clock_s()
        # A broker that has just started may not know its topics yet.
        self._missing_since_s = self._missing_since_s or now_s
        if now_s - self._missing_since_s > _MAX_MISSING_S:
            raise StateError(
                f"topic {missing[0]} was deleted", "create it again, or stop `homma land`"
            )
        return False

    def _has_reached(self, ends: Mapping[TopicAndPartition, int]) -> bool:
        return all(self._next_offsets[partition] >= end for partition, end in ends.items())


def open_landing(
    open_sinks: SinkFactory, topics: LandingTopics, settings: LandSettings, metrics: Metrics
) -> Landing:
    """Open the sinks of all topics and the loop; connects to Kafka and to what the sinks write."""
    return Landing(open_sinks(topics.sources()), topics, settings, metrics)
