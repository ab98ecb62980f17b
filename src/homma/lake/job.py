"""Topics into tables: poll, take, commit. It decides nothing.

There is no consumer group: each table says how far it holds its topic, and there reading begins.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from homma.core.interval import INTERVALS
from homma.durations import microseconds
from homma.errors import KafkaError, OffsetsLost, StateError
from homma.failpoint import Reached, ignored
from homma.lake.candles import CandleSink
from homma.lake.committing import RetryPolicy
from homma.lake.newest import FinalityRules
from homma.lake.offsets import Offsets
from homma.lake.schema import TABLES
from homma.lake.sinks import Sink, SinkContext, SourceTopic, TickSink, leave_to
from homma.lake.table import Lake, Table
from homma.metrics import Metrics
from homma.settings import LandSettings
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.assigned import AssignedReader, TopicAndPartition
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Message, Range, Reader

log = logging.getLogger("homma.land")

_BATCH: Final = 10_000
_POLL_S: Final = 0.2
#: A coarse table gets what is new so often within its interval, or every minute.
_WITHIN: Final = 60
_MINUTE: Final = timedelta(minutes=1)
#: Tables are committed to side by side: it is mostly waiting for the storage.
_SIDE_BY_SIDE: Final = 4
_GONE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LandingTopics:
    """Where records come from."""

    config: Connection
    topics: Topics
    admin: Admin

    @property
    def all(self) -> tuple[str, ...]:
        """The topics in the order of the tables."""
        return (self.topics.ticks, *self.topics.candles)


def every(interval: int, commit_every: timedelta) -> timedelta:
    """How often an interval's table is committed to."""
    length = timedelta(microseconds=INTERVALS[interval].longest_us)
    return max(commit_every, min(length / _WITHIN, _MINUTE))


def make_sinks(
    lake: Lake, sources: LandingTopics, settings: LandSettings, context: SinkContext
) -> list[Sink]:
    """A sink a table of ours; the tables are made where they are missing."""
    ids = {topic: sources.admin.topic_id(topic) for topic in sources.all}
    for topic, topic_id in ids.items():
        if topic_id is None:
            raise KafkaError(
                f"there is no topic {topic}", "start `homma aggregate`, which makes the topics"
            )
    origins = {topic: SourceTopic(topic, topic_id or "") for topic, topic_id in ids.items()}
    for spec in TABLES:
        # All of them before one is made: else what is made would be for nothing.
        lake.fits(spec)
    tables = [lake.make(spec) for spec in TABLES]
    for table, topic in zip(tables, sources.all, strict=True):
        _must_belong(table.name, table.offsets(), origins[topic])
    with ThreadPoolExecutor(_SIDE_BY_SIDE, "table") as pool:
        make = partial(_sink, settings=settings, context=context)
        return [sink for sink in pool.map(make, tables, origins.values()) if sink]


def _sink(
    table: Table, origin: SourceTopic, settings: LandSettings, context: SinkContext
) -> Sink | None:
    interval = table.spec.interval
    if interval is None:
        pace_s = settings.commit_every.total_seconds()
        return TickSink(table, origin, context, pace_s, microseconds(settings.max_future))
    if settings.candles_by != "homma":
        leave_to(settings.candles_by, table, origin, context)
        return None
    pace_s = every(interval, settings.commit_every).total_seconds()
    rules = FinalityRules(
        interval, microseconds(settings.watermark_delay), microseconds(settings.idle_timeout)
    )
    return CandleSink(table, origin, context, pace_s, rules)


class Landing:
    """Moves records of all topics into their tables."""

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
        self._reader = AssignedReader(sources.config)
        self._offsets = Reader(sources.config)
        self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE, "table")
        self._due_s: dict[str, float] = {}
        self._reached_end: dict[TopicAndPartition, int] = {}
        #: Commits that are being made, by topic.
        self._under_way: dict[str, Future[None]] = {}
        self._gone_since_s: float | None = None

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped`, or with `until_end` until all that was there is in the lake."""
        try:
            ends = self._start()
            now_s = self._context.clock_s()
            self._due_s = {topic: now_s + sink.every_s for topic, sink in self._sinks.items()}
            while not stopped():
                self._poll()
                self._ended(wait_for=[s for s in self._under_way if self._sinks[s].full])
                self._land(self._due())
                if self._settings.until_end and self._past(ends):
                    break
            self._ended(wait_for=[*self._under_way])
            self._land([sink for sink in self._sinks.values() if sink.pending])
            self._ended(wait_for=[*self._under_way])
        finally:
            self._pool.shutdown()
            self._reader.close()
            self._offsets.close()

    def _start(self) -> dict[TopicAndPartition, int]:
        """Read every partition from where its table ends; the ends as they are now."""
        counts = self._sources.admin.partitions()
        starts: dict[TopicAndPartition, int] = {}
        ends: dict[TopicAndPartition, int] = {}
        for topic, sink in self._sinks.items():
            for partition in range(counts.get(topic, 0)):
                kept = self._offsets.kept(topic, partition)
                held = sink.believed.next.get(partition)
                starts[topic, partition] = self._from(topic, partition, kept, held)
                ends[topic, partition] = kept.end
        self._reader.start(starts)
        self._reached_end = dict(starts)
        for topic, sink in self._sinks.items():
            log.info(
                "%s into %s, from offsets %s",
                topic,
                sink.table.name,
                [at for (name, _), at in starts.items() if name == topic],
            )
        return ends

    def _from(self, topic: str, partition: int, kept: Range, held: int | None) -> int:
        if held is None:
            return kept.start
        if held > kept.end:
            raise StateError(
                f"{topic} partition {partition} ends at offset {kept.end}, and the lake holds it "
                f"up to {held}",
                "see what has become of the topic; a lake of its own takes another --namespace",
            )
        if held >= kept.start:
            return held
        if topic != self._sources.topics.ticks:
            # Candles that are gone have been replaced, or were deleted as their topic keeps them.
            log.info("%s partition %d begins at offset %d now", topic, partition, kept.start)
            return kept.start
        if not self._settings.accept_loss:
            raise OffsetsLost(
                f"offsets {held} to {kept.start - 1} of {topic} partition {partition} are gone "
                f"from Kafka, and the lake does not have them",
                "bring those ticks in with `homma backfill`, or go on without them by "
                "--accept-loss",
            )
        log.warning(
            "%s partition %d: offsets %d to %d are lost", topic, partition, held, kept.start - 1
        )
        return kept.start

    def _poll(self) -> None:
        batch = self._reader.consume(_BATCH, _POLL_S)
        taken: dict[str, dict[int, list[Message]]] = {}
        for (topic, partition), messages in batch.records.items():
            taken.setdefault(topic, {})[partition] = messages
            self._reached_end[topic, partition] = (messages[-1].offset() or 0) + 1
        for topic, batches in taken.items():
            self._sinks[topic].take(batches)
        for (topic, partition), offset in batch.ends.items():
            self._sinks[topic].at_end(partition, offset)
            self._reached_end[topic, partition] = offset
        for topic, partition in batch.gone:
            self._start_again(topic, partition)

    def _start_again(self, topic: str, partition: int) -> None:
        """The offset to be read next is gone: retention was faster, or the topic is another."""
        self._must_be_same([self._sinks[topic]])
        kept = self._offsets.kept(topic, partition)
        at = self._reached_end[topic, partition]
        self._reader.start({(topic, partition): self._from(topic, partition, kept, at)})

    def _due(self) -> list[Sink]:
        now_s = self._context.clock_s()
        return [
            sink
            for topic, sink in self._sinks.items()
            if topic not in self._under_way
            and (sink.full or (now_s >= self._due_s[topic] and sink.pending))
        ]

    def _land(self, due: Sequence[Sink]) -> None:
        """Begin to commit to tables, side by side; reading goes on meanwhile."""
        if not due or not self._must_be_same(due):
            return
        now_s = self._context.clock_s()
        for sink in due:
            topic = sink.origin.topic
            self._under_way[topic] = self._pool.submit(_landed, sink, sink.cut_batch())
            self._due_s[topic] = now_s + sink.every_s

    def _ended(self, wait_for: Sequence[str]) -> None:
        """Let go of commits that have ended, and of these once they have; raise their errors."""
        wait([self._under_way[topic] for topic in wait_for])
        for topic in [topic for topic, end in self._under_way.items() if end.done()]:
            self._under_way.pop(topic).result()
            self._sinks[topic].show_lag(self._ends_seen(topic))

    def _ends_seen(self, topic: str) -> dict[int, int]:
        ends = {
            number: self._reader.end_seen((name, number))
            for name, number in self._reached_end
            if name == topic
        }
        return {number: end for number, end in ends.items() if end is not None}

    def _must_be_same(self, sinks: Sequence[Sink]) -> bool:
        """Whether what was read is the topics' that are there; False while Kafka is away."""
        try:
            ids = {s.origin.topic: self._sources.admin.topic_id(s.origin.topic) for s in sinks}
        except KafkaError as error:
            log.warning("nothing is committed until Kafka answers: %s", error)
            return False
        for sink in sinks:
            found = ids[sink.origin.topic]
            if found not in (None, sink.origin.topic_id):
                raise _made_again(sink.origin.topic, sink.table.name)
        return self._all_there(ids)

    def _all_there(self, ids: Mapping[str, str | None]) -> bool:
        missing = [topic for topic, found in ids.items() if found is None]
        if not missing:
            self._gone_since_s = None
            return True
        now_s = self._context.clock_s()
        # A broker that has just started may not know its topics yet.
        self._gone_since_s = self._gone_since_s or now_s
        if now_s - self._gone_since_s > _GONE_S:
            raise StateError(f"{missing[0]} was deleted", "make it again, or stop landing it")
        return False

    def _past(self, ends: Mapping[TopicAndPartition, int]) -> bool:
        return all(self._reached_end[partition] >= end for partition, end in ends.items())


def _landed(sink: Sink, commit: Callable[[], None]) -> None:
    commit()
    if sink.maintenance_due:
        sink.maintain()


def _must_belong(table: str, held: Offsets | None, origin: SourceTopic) -> None:
    if held is None:
        return
    if held.topic != origin.topic:
        raise StateError(
            f"{table} holds the topic {held.topic}, not {origin.topic}",
            "name that one with --topic or --candle-topic, or another --namespace",
        )
    if held.topic_id != origin.topic_id:
        raise _made_again(origin.topic, table)


def _made_again(topic: str, table: str) -> StateError:
    return StateError(
        f"{topic} was deleted and made again, and {table} holds the one before",
        "choose another --namespace for it, or drop the table to have it filled anew",
    )


def landing(
    lake: Lake,
    sources: LandingTopics,
    settings: LandSettings,
    metrics: Metrics,
    stopped: Callable[[], bool],
    reached: Reached = ignored,
) -> Landing:
    """The loop that fills the lake; Kafka and the catalog are asked here for the first time."""
    context = SinkContext(
        RetryPolicy(stopped),
        metrics,
        reached,
        keep_s=settings.orphan_retention.total_seconds(),
        maintain_every=settings.maintain_every,
    )
    return Landing(make_sinks(lake, sources, settings, context), sources, settings, context)
