"""Readers: Reader for stored records, GroupReader in a consumer group, GroupOffsets beside one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as Message  # noqa: PLC0414  re-exported

from homma.errors import KafkaError
from homma.topics.kafka.connection import Connection, log
from homma.topics.kafka.consumer import PartitionConsumer
from homma.topics.kafka.profiles import BOUNDED, GROUP_MEMBER, GROUP_OBSERVER, UNCOMMITTED, Profile

#: How long a range may yield no record. An open transaction hides its records and all behind it
#: until it ends, at most after its timeout of 10 s; a busy broker gets twice as long on top.
PATIENCE_S: Final = 30.0
_TIMEOUT_S: Final = 10.0
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

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._consumer = PartitionConsumer(connection, BOUNDED)
        self._uncommitted: PartitionConsumer | None = None

    def offset_range(self, topic: str, partition: int) -> Range:
        """The offsets in a partition, including those of open transactions."""
        if self._uncommitted is None:
            self._uncommitted = PartitionConsumer(self._connection, UNCOMMITTED)
        return Range(*self._uncommitted.offset_range((topic, partition)))

    def partitions(self, topic: str) -> int:
        """The partition count of a topic."""
        metadata = self._consumer.ask(
            f"looking up {topic}", lambda client: client.list_topics(topic, timeout=_TIMEOUT_S)
        )
        return len(metadata.topics[topic].partitions)

    def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        """The first offset with at least this record timestamp; None if there is none."""
        part = TopicPartition(topic, partition, timestamp_ms)
        [result] = self._consumer.ask(
            f"looking up offsets of {topic} by time",
            lambda client: client.offsets_for_times([part], timeout=_TIMEOUT_S),
        )
        return result.offset if result.offset >= _FIRST_OFFSET else None

    def first_timestamp_ms(self, topic: str, partition: int, offset: int) -> int | None:
        """The timestamp of the first record from an offset on; None if there is none.

        Unlike `read`, this does not wait for open transactions: it sees the records before them.
        """
        start, end = self._consumer.offset_range((topic, partition))
        for records in self.read(partition, {topic: Range(max(start, offset), end)}):
            return records[0].timestamp()[1]
        return None

    def read(
        self, partition: int, ranges: Mapping[str, Range], patience_s: float = PATIENCE_S
    ) -> Iterator[list[Message]]:
        """The committed records of one partition of several topics, batch by batch.

        Waits until open transactions before the end of a range have ended. Raises KafkaError if no
        record arrives for `patience_s` seconds.
        """
        ends = {topic: span.end for topic, span in ranges.items() if span.start < span.end}
        if not ends:
            return
        for topic in ends:
            # Refreshes the metadata. By itself, librdkafka looks for new topics once a second.
            self.partitions(topic)
        self._consumer.start({(topic, partition): ranges[topic].start for topic in ends})
        try:
            while ends:
                records = self._next_records(partition, ends, patience_s)
                if records:
                    yield records
        finally:
            self._consumer.client.unassign()

    def _next_records(
        self, partition: int, ends: dict[str, int], patience_s: float
    ) -> list[Message]:
        """The next records before the ends. Removes topics whose end was reached from `ends`."""
        batch = self._consumer.consume_available(patience_s)
        if not (batch.records or batch.ends):
            raise KafkaError(
                f"no records of {', '.join(sorted(ends))}, partition {partition}, "
                f"were read within {patience_s:g} s",
                "check that the broker is healthy and that no transaction is left open",
            )
        records = []
        for message in batch.records:
            topic, offset = str(message.topic()), message.offset() or 0
            end = ends.get(topic, _FIRST_OFFSET)
            if offset < end:
                records.append(message)
            if offset + 1 >= end:
                ends.pop(topic, None)
        for (topic, _), offset in batch.ends.items():
            if offset >= ends.get(topic, offset):
                ends.pop(topic, None)
        return records

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        if self._uncommitted is not None:
            self._uncommitted.close()


class GroupOffsets:
    """The committed offsets of a consumer group in a topic, seen from outside the group."""

    _profile: Profile = GROUP_OBSERVER

    def __init__(
        self, connection: Connection, group: str, topic: str, **more: str | int | bool
    ) -> None:
        self._topic = topic
        self._consumer = PartitionConsumer(connection, self._profile, group_id=group, **more)

    def committed(self, partition: int) -> Committed | None:
        """The group's committed offset of a partition; None if there is none."""
        part = TopicPartition(self._topic, partition)
        [result] = self._consumer.ask(
            f"reading the committed offset of {self._topic}",
            lambda client: client.committed([part], timeout=_TIMEOUT_S),
        )
        if result.offset < _FIRST_OFFSET:
            return None
        return Committed(result.offset, result.metadata or "")

    def group_metadata(self) -> object:
        """The metadata with which the group fences a transaction. Fetch it for each transaction."""
        return self._consumer.client.consumer_group_metadata()

    def close(self) -> None:
        """Close the connections; a member leaves the group."""
        try:
            self._consumer.close()
        except (KafkaException, SystemError) as error:
            # Without a reachable broker, the client can fail with a SystemError.
            log.debug("leaving the group: %s", error)


#: Called with the partitions that were assigned, revoked or lost.
PartitionsCallback = Callable[[Sequence[int]], None]


class GroupReader(GroupOffsets):
    """Reads a topic as a member of a consumer group. Callers commit the offsets.

    Assigned partitions have no position: the caller sets the offset with `start`. The other
    members see `announcement` at the end of the client id.
    """

    _profile = GROUP_MEMBER

    def __init__(
        self,
        connection: Connection,
        group: str,
        topic: str,
        session_ms: int,
        announcement: str = "homma",
    ) -> None:
        client_id = f"{connection.get('client.id', '')} {announcement}".lstrip()
        connection = {**connection, "client.id": client_id}
        super().__init__(connection, group, topic, session_timeout_ms=session_ms)
        #: The next offset to read of each partition that was started.
        self._next_offsets: dict[int, int] = {}

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

        self._consumer.client.subscribe(
            [self._topic], on_assign=assigned, on_revoke=revoked, on_lost=lost
        )

    def pause(self, partitions: Sequence[int]) -> None:
        """Keep partitions, newly assigned or not, without reading them."""
        parts = [TopicPartition(self._topic, p) for p in partitions]
        assigned = {p.partition for p in self._consumer.client.assignment()}
        new = [TopicPartition(self._topic, p, _BEGINNING) for p in partitions if p not in assigned]
        if new:
            self._consumer.client.incremental_assign(new)
        self._consumer.client.pause(parts)

    def resume(self, partition: int) -> None:
        """Continue reading a paused partition."""
        self._consumer.client.resume([TopicPartition(self._topic, partition)])

    def start(self, partition: int, offset: int) -> None:
        """Read an assigned partition from an offset, also if it is paused."""
        self._next_offsets[partition] = offset
        self._consumer.start({(self._topic, partition): offset})
        self.resume(partition)

    def known_end(self, partition: int) -> int | None:
        """The end offset of a partition as of the last fetch; None before the first fetch."""
        return self._consumer.known_end((self._topic, partition))

    def consume(self, limit: int, timeout_s: float) -> tuple[dict[int, list[Message]], list[int]]:
        """Up to `limit` records by partition, and the partitions whose end was reached.

        The records of a partition are in offset order, and none comes twice after `start`.
        """
        consumed = self._consumer.consume(limit, timeout_s)
        batches: dict[int, list[Message]] = {}
        for (_, partition), messages in consumed.by_partition().items():
            if unread := self._unread(partition, messages):
                batches[partition] = unread
        return batches, [partition for _, partition in consumed.ends]

    def _unread(self, partition: int, messages: list[Message]) -> list[Message]:
        """The records from the next offset on.

        librdkafka may read a partition again from its beginning: it looks the beginning up when
        the partition is assigned, and may get the answer after `start` has set another offset.
        """
        next_offset = self._next_offsets.get(partition, _FIRST_OFFSET)
        offsets = [message.offset() or 0 for message in messages]
        self._next_offsets[partition] = max(next_offset, max(offsets) + 1)
        if offsets[0] >= next_offset and all(map(lt, offsets, islice(offsets, 1, None))):
            return messages
        unread = []
        for offset, message in zip(offsets, messages, strict=True):
            if offset >= next_offset:
                unread.append(message)
                next_offset = offset + 1
        log.info(
            "partition %d: skipped %d records that were read again",
            partition,
            len(messages) - len(unread),
        )
        return unread
