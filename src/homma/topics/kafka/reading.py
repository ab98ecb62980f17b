"""Consumers: GroupReader in a consumer group, Reader without a group for stored records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code
from confluent_kafka import Message as Message  # noqa: PLC0414  re-exported

from homma.errors import KafkaError
from homma.topics.kafka.connection import (
    Connection,
    call_kafka,
    client_config,
    create_client,
    log,
    to_homma_error,
)

_TIMEOUT_S: Final = 10.0
_BATCH: Final = 20_000
_FIRST_OFFSET: Final = 0  # librdkafka's special offsets are all negative
_BEGINNING: Final = -2


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed offset and its metadata."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets [start, end) of a partition."""

    start: int
    end: int


class Reader:
    """Reads committed records of given partitions, without joining a group."""

    def __init__(self, config: Connection) -> None:
        self._config = config
        self._consumer = create_client(
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

    def offset_range(self, topic: str, partition: int) -> Range:
        """The offsets in a partition, including those of open transactions."""
        # To a read_committed consumer, a partition ends before the first open transaction. A
        # second consumer sees its real end.
        low, high = call_kafka(
            f"listing the offsets of {topic}",
            self._config,
            lambda: self._uncommitted().get_watermark_offsets(
                TopicPartition(topic, partition), timeout=_TIMEOUT_S
            ),
        )
        return Range(low, high)

    def _uncommitted(self) -> Consumer:
        if not hasattr(self, "_watermarks"):
            self._watermarks = create_client(
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
        """The partition count of a topic."""
        metadata = call_kafka(
            f"looking up {topic}",
            self._config,
            lambda: self._consumer.list_topics(topic, timeout=_TIMEOUT_S),
        )
        return len(metadata.topics[topic].partitions)

    def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        """The first offset with at least this record timestamp; None if there is none."""
        [result] = call_kafka(
            f"looking up offsets of {topic} by time",
            self._config,
            lambda: self._consumer.offsets_for_times(
                [TopicPartition(topic, partition, timestamp_ms)], timeout=_TIMEOUT_S
            ),
        )
        return result.offset if result.offset >= _FIRST_OFFSET else None

    def read(
        self, partition: int, ranges: dict[str, Range], idle_s: float
    ) -> Iterator[list[Message]]:
        """The committed records of one partition of several topics, batch by batch.

        Waits until open transactions before the end of a range have ended. Raises KafkaError if no
        record arrives for `idle_s` seconds.
        """
        ends = {topic: span.end for topic, span in ranges.items() if span.start < span.end}
        if not ends:
            return
        for topic in ends:
            # Refreshes the metadata. By itself, librdkafka looks for new topics once a second.
            self.partitions(topic)
        self._consumer.assign(
            [TopicPartition(topic, partition, ranges[topic].start) for topic in ends]
        )
        try:
            while ends:
                # `consume` waits until the batch is full: wait for one record, then take the rest.
                batch = self._consumer.consume(1, idle_s)
                batch += self._consumer.consume(_BATCH, 0)
                if not batch:
                    raise KafkaError(
                        f"no records of {', '.join(sorted(ends))}, partition {partition}, "
                        f"were read within {idle_s:g} s",
                        "check that the broker is healthy and that no transaction is left open",
                    )
                records = [m for m in batch if self._is_in_range(m, ends, ranges)]
                if records:
                    yield records
        finally:
            self._consumer.unassign()

    def _is_in_range(
        self, message: Message, ends: dict[str, int], ranges: dict[str, Range]
    ) -> bool:
        """Whether a message is a record of its range. Removes finished topics from `ends`."""
        topic, offset = str(message.topic()), message.offset() or 0
        error = message.error()
        if error is not None and error.code() != Code._PARTITION_EOF:
            raise to_homma_error(KafkaException(error), f"reading {topic}", self._config)
        if topic in ends and offset + (error is None) >= ends[topic]:
            del ends[topic]
        return error is None and offset < ranges[topic].end

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        if hasattr(self, "_watermarks"):
            self._watermarks.close()


#: Called with the partitions that were assigned, revoked or lost.
PartitionsCallback = Callable[[Sequence[int]], None]


class GroupReader:
    """Reads a topic as a member of a consumer group. Callers commit the offsets.

    Assigned partitions have no position: the caller sets the offset with `start`. The other
    members see `announcement` at the end of the client id.
    """

    def __init__(
        self,
        config: Connection,
        group: str,
        topic: str,
        session_ms: int,
        announcement: str = "homma",
    ) -> None:
        self._config = config
        self._topic = topic
        self._consumer = create_client(
            Consumer,
            client_config(
                {**config, "client.id": f"{config.get('client.id', '')} {announcement}".lstrip()},
                group_id=group,
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                enable_partition_eof=True,
                isolation_level="read_committed",
                auto_offset_reset="error",
                partition_assignment_strategy="cooperative-sticky",
                session_timeout_ms=session_ms,
                # How long to wait for a lost response; the default is a minute.
                socket_timeout_ms=10_000,
                # How soon changes of the topic are noticed.
                topic_metadata_refresh_interval_ms=5_000,
                fetch_wait_max_ms=10,
                # How soon fetching resumes after a full queue; the default is a second.
                fetch_queue_backoff_ms=10,
                # Each fetch is decompressed as a whole, and ticks are ten times as large then.
                queued_min_messages=20_000,
                queued_max_messages_kbytes=4096,
                fetch_max_bytes=2 << 20,
                max_partition_fetch_bytes=512 << 10,
            ),
        )

    def join(
        self,
        on_assigned: PartitionsCallback,
        on_revoked: PartitionsCallback,
        on_lost: PartitionsCallback,
    ) -> None:
        """Join the group. The callbacks run inside `consume`."""

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

    def pause(self, partitions: Sequence[int]) -> None:
        """Keep partitions, newly assigned or not, without reading them."""
        parts = [TopicPartition(self._topic, p) for p in partitions]
        assigned = {p.partition for p in self._consumer.assignment()}
        new = [TopicPartition(self._topic, p, _BEGINNING) for p in partitions if p not in assigned]
        if new:
            self._consumer.incremental_assign(new)
        self._consumer.pause(parts)

    def resume(self, partition: int) -> None:
        """Continue reading a paused partition."""
        self._consumer.resume([TopicPartition(self._topic, partition)])

    def start(self, partition: int, offset: int) -> None:
        """Read an assigned partition from an offset."""
        # A seek fails until the first fetch is set up; reassigning always works.
        part = TopicPartition(self._topic, partition, offset)
        self._consumer.incremental_unassign([part])
        self._consumer.incremental_assign([part])
        self._consumer.resume([part])

    def known_end(self, partition: int) -> int | None:
        """The end offset of a partition as of the last fetch; None before the first fetch."""
        _, high = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), cached=True
        )
        return high if high >= _FIRST_OFFSET else None

    def consume(self, limit: int, timeout_s: float) -> tuple[list[Message], list[int]]:
        """Up to `limit` records, and the partitions whose end was reached."""
        batch = self._consumer.consume(limit, timeout_s)
        ends = [m for m in batch if m.error() is not None]
        if not ends:
            return batch, []
        for message in ends:
            error = message.error()
            if error is not None and error.code() != Code._PARTITION_EOF:
                raise to_homma_error(KafkaException(error), f"reading {self._topic}", self._config)
        return [m for m in batch if m.error() is None], [m.partition() or 0 for m in ends]

    def committed(self, partition: int) -> Committed | None:
        """The group's committed offset of a partition; None if there is none."""
        [result] = call_kafka(
            f"reading the committed offset of {self._topic}",
            self._config,
            lambda: self._consumer.committed(
                [TopicPartition(self._topic, partition)], timeout=_TIMEOUT_S
            ),
        )
        if result.offset < _FIRST_OFFSET:
            return None
        return Committed(result.offset, result.metadata or "")

    def group_metadata(self) -> object:
        """The metadata with which the group fences a transaction. Fetch it for each transaction."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group."""
        try:
            self._consumer.close()
        except (KafkaException, SystemError) as error:
            # Without a reachable broker, the client can fail with a SystemError.
            log.debug("leaving the group: %s", error)
