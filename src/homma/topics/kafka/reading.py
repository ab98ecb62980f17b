"""Consumers: one in a group for ticks, one without for going back over what was written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code
from confluent_kafka import Message as Message  # noqa: PLC0414  for those who may not import it

from homma.errors import KafkaError
from homma.topics.kafka.connection import Connection, calling, client_config, create, explained

_TIMEOUT_S: Final = 10.0
_BATCH: Final = 20_000
_NO_OFFSET: Final = 0  # librdkafka's special offsets are all negative
_BEGINNING: Final = -2


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed offset and what its committer wrote beside it."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets [start, end) of a partition."""

    start: int
    end: int


class Reader:
    """Reads given partitions, committed records only, without joining a group."""

    def __init__(self, config: Connection) -> None:
        self._config = config
        self._consumer = create(
            Consumer,
            client_config(
                config,
                group_id="homma-reader",
                enable_auto_commit=False,
                enable_partition_eof=True,
                isolation_level="read_committed",
                auto_offset_reset="error",
                fetch_wait_max_ms=20,
            ),
        )

    def kept(self, topic: str, partition: int) -> Range:
        """The offsets that a partition has, those of open transactions included."""
        # The reader's own view ends before an open transaction; a second client's does not.
        low, high = calling(
            f"asking for the offsets of {topic}",
            self._config,
            lambda: self._uncommitted().get_watermark_offsets(
                TopicPartition(topic, partition), timeout=_TIMEOUT_S
            ),
        )
        return Range(low, high)

    def _uncommitted(self) -> Consumer:
        if not hasattr(self, "_watermarks"):
            self._watermarks = create(
                Consumer,
                client_config(
                    self._config,
                    group_id="homma-reader",
                    enable_auto_commit=False,
                    isolation_level="read_uncommitted",
                ),
            )
        return self._watermarks

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        metadata = calling(
            f"asking for {topic}",
            self._config,
            lambda: self._consumer.list_topics(topic, timeout=_TIMEOUT_S),
        )
        return len(metadata.topics[topic].partitions)

    def since(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        """The first offset at or after a record timestamp; None where there is none."""
        [found] = calling(
            f"asking for offsets by time of {topic}",
            self._config,
            lambda: self._consumer.offsets_for_times(
                [TopicPartition(topic, partition, timestamp_ms)], timeout=_TIMEOUT_S
            ),
        )
        return found.offset if found.offset >= _NO_OFFSET else None

    def read(
        self, partition: int, wanted: dict[str, Range], idle_s: float
    ) -> Iterator[list[Message]]:
        """The committed records of one partition of several topics, batch by batch.

        Waits for the ends to become readable (an open transaction stands before them until it is
        ended); KafkaError when nothing has come for `idle_s` seconds.
        """
        left = {topic: span.end for topic, span in wanted.items() if span.start < span.end}
        if not left:
            return
        for topic in left:
            # Unasked, librdkafka looks for topics that are new to it once a second.
            self.partitions(topic)
        self._consumer.assign(
            [TopicPartition(topic, partition, wanted[topic].start) for topic in left]
        )
        try:
            while left:
                # `consume` waits until it has as many as asked for: wait for one, take the rest.
                batch = self._consumer.consume(1, idle_s)
                batch += self._consumer.consume(_BATCH, 0)
                if not batch:
                    raise KafkaError(
                        f"nothing more could be read of {', '.join(sorted(left))}, "
                        f"partition {partition}, for {idle_s:g} s",
                        "see whether the broker is well and whether a transaction is left open",
                    )
                records = [m for m in batch if self._within(m, left, wanted)]
                if records:
                    yield records
        finally:
            self._consumer.unassign()

    def _within(self, message: Message, left: dict[str, int], wanted: dict[str, Range]) -> bool:
        """Whether it is one of the records wanted; strikes off topics that are through."""
        topic, offset = str(message.topic()), message.offset() or 0
        error = message.error()
        if error is not None and error.code() != Code._PARTITION_EOF:
            raise explained(KafkaException(error), f"reading {topic}", self._config)
        if topic in left and offset + (error is None) >= left[topic]:
            del left[topic]
        return error is None and offset < wanted[topic].end

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
        if hasattr(self, "_watermarks"):
            self._watermarks.close()


#: Called with the partitions that came, or went.
Moved = Callable[[Sequence[int]], None]


class GroupReader:
    """Reads a topic as a member of a consumer group; offsets are committed by others.

    Partitions come without a position: who is told of them says where to start, with `start`.
    """

    def __init__(self, config: Connection, group: str, topic: str, session_ms: int) -> None:
        self._config = config
        self._topic = topic
        self._consumer = create(
            Consumer,
            client_config(
                config,
                group_id=group,
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                enable_partition_eof=True,
                isolation_level="read_committed",
                auto_offset_reset="error",
                partition_assignment_strategy="cooperative-sticky",
                session_timeout_ms=session_ms,
                # An answer that got lost is waited for as long as this; the default is a minute.
                socket_timeout_ms=10_000,
                # How soon it is noticed that the topic has changed.
                topic_metadata_refresh_interval_ms=5_000,
                fetch_wait_max_ms=10,
                # A full queue is looked at again so soon; the default is a second of doing nothing.
                fetch_queue_backoff_ms=10,
                # What is fetched at once is unpacked at once: ticks are ten times as large then.
                queued_min_messages=20_000,
                queued_max_messages_kbytes=4096,
                fetch_max_bytes=2 << 20,
                max_partition_fetch_bytes=512 << 10,
            ),
        )

    def join(self, on_assigned: Moved, on_revoked: Moved, on_lost: Moved) -> None:
        """Become a member; the callbacks run inside `consume`."""

        def assigned(consumer: Consumer, parts: list[TopicPartition]) -> None:
            del consumer
            on_assigned([p.partition for p in parts])

        def revoked(consumer: Consumer, parts: list[TopicPartition]) -> None:
            on_revoked([p.partition for p in parts])
            consumer.incremental_unassign(parts)

        def lost(consumer: Consumer, parts: list[TopicPartition]) -> None:
            on_lost([p.partition for p in parts])
            consumer.incremental_unassign(parts)

        self._consumer.subscribe([self._topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def hold(self, partitions: Sequence[int]) -> None:
        """Own partitions, newly assigned or not, without reading them yet."""
        parts = [TopicPartition(self._topic, p) for p in partitions]
        owned = {p.partition for p in self._consumer.assignment()}
        new = [TopicPartition(self._topic, p, _BEGINNING) for p in partitions if p not in owned]
        if new:
            self._consumer.incremental_assign(new)
        self._consumer.pause(parts)

    def go_on(self, partition: int) -> None:
        """Read on where `hold` has stopped it."""
        self._consumer.resume([TopicPartition(self._topic, partition)])

    def start(self, partition: int, offset: int) -> None:
        """Read an owned partition, from an offset."""
        # Unlike a seek, which is refused while the first fetch is being set up, this always goes.
        part = TopicPartition(self._topic, partition, offset)
        self._consumer.incremental_unassign([part])
        self._consumer.incremental_assign([part])
        self._consumer.resume([part])

    def end_seen(self, partition: int) -> int | None:
        """The end of a partition as of the last fetch; None before the first."""
        _, high = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), cached=True
        )
        return high if high >= _NO_OFFSET else None

    def consume(self, most: int, timeout_s: float) -> tuple[list[Message], list[int]]:
        """Up to so many records, and the partitions whose end was reached."""
        batch = self._consumer.consume(most, timeout_s)
        ends = [m for m in batch if m.error() is not None]
        if not ends:
            return batch, []
        for message in ends:
            error = message.error()
            if error is not None and error.code() != Code._PARTITION_EOF:
                raise explained(KafkaException(error), f"reading {self._topic}", self._config)
        return [m for m in batch if m.error() is None], [m.partition() or 0 for m in ends]

    def committed(self, partition: int) -> Committed | None:
        """The group's offset of a partition; None where it has none."""
        [found] = calling(
            f"asking for the committed offset of {self._topic}",
            self._config,
            lambda: self._consumer.committed(
                [TopicPartition(self._topic, partition)], timeout=_TIMEOUT_S
            ),
        )
        if found.offset < _NO_OFFSET:
            return None
        return Committed(found.offset, found.metadata or "")

    def owner(self) -> object:
        """What a transaction needs to be fenced by the group; fetched anew for each."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
