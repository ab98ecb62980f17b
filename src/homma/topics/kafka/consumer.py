"""The one consumer of homma: a profile, and what its errors mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from homma.topics.kafka.connection import Connection, client_config, create_client
from homma.topics.kafka.profiles import Profile
from homma.topics.kafka.triage import ErrorKind, call_kafka, kind_of, to_homma_error

T = TypeVar("T")
#: (topic, partition)
TopicAndPartition = tuple[str, int]

_REST: Final = 20_000
_TIMEOUT_S: Final = 10.0
_FIRST_OFFSET: Final = 0  # librdkafka's special offsets are all negative


@dataclass(slots=True)
class Consumed:
    """Records in the order of arrival, the ends of partitions reached, and partitions to restart.

    The next offset of a partition in `lost` no longer exists.
    """

    records: list[Message]
    ends: dict[TopicAndPartition, int] = field(default_factory=dict)
    lost: set[TopicAndPartition] = field(default_factory=set)

    def by_partition(self) -> dict[TopicAndPartition, list[Message]]:
        """The records of each partition; no list is empty."""
        batches: dict[TopicAndPartition, list[Message]] = {}
        for message in self.records:
            key = (message.topic() or "", message.partition() or 0)
            if key in batches:
                batches[key].append(message)
            else:
                batches[key] = [message]
        return batches


class PartitionConsumer:
    """Reads partitions from given offsets. Methods raise KafkaError, by the table in triage.py.

    `client` is librdkafka's consumer, for what only one reader needs.
    """

    def __init__(self, connection: Connection, profile: Profile, **more: str | int | bool) -> None:
        config = client_config(connection, **{**profile.settings, **more})
        self._connection = connection
        self._group = config["group.id"]
        self._goes_on = profile.goes_on
        self.client = create_client(Consumer, config)

    def start(self, offsets: Mapping[TopicAndPartition, int]) -> None:
        """Start reading partitions from given offsets, or move the ones that are already read."""
        # A seek fails until the first fetch is set up; reassigning always works.
        parts = [TopicPartition(*key, offset) for key, offset in offsets.items()]
        assigned = {(part.topic, part.partition) for part in self.client.assignment()}
        reassigned = [part for part in parts if (part.topic, part.partition) in assigned]
        if reassigned:
            self.client.incremental_unassign(reassigned)
        self.client.incremental_assign(parts)

    def consume(self, limit: int, timeout_s: float) -> Consumed:
        """Up to `limit` records. Waits until there are as many, at most `timeout_s`."""
        messages = self.client.consume(limit, timeout_s)
        others = [message for message in messages if message.error() is not None]
        if not others:
            return Consumed(messages)
        consumed = Consumed([message for message in messages if message.error() is None])
        for message in others:
            self._triage(message, consumed)
        return consumed

    def consume_available(self, timeout_s: float) -> Consumed:
        """The records that are there, as soon as there is one, at most after `timeout_s`."""
        first = self.consume(1, timeout_s)
        if not (first.records or first.ends):
            return first
        rest = self.consume(_REST, 0)
        return Consumed(
            first.records + rest.records, first.ends | rest.ends, first.lost | rest.lost
        )

    def _triage(self, message: Message, consumed: Consumed) -> None:
        error, key = message.error(), (message.topic() or "", message.partition() or 0)
        assert error is not None
        if error.code() == Code._PARTITION_EOF:
            consumed.ends[key] = message.offset() or 0
            return
        kind = kind_of(error)
        if kind not in self._goes_on:
            # Errors of the group have no topic.
            doing = f"reading {key[0] or f'in group {self._group}'}"
            raise to_homma_error(KafkaException(error), doing, self._connection)
        if kind is ErrorKind.OFFSET_GONE:
            consumed.lost.add(key)

    def ask(self, doing: str, question: Callable[[Consumer], T]) -> T:
        """The broker's answer to a question. `doing` is the problem if there is none."""
        return call_kafka(doing, self._connection, lambda: question(self.client))

    def offset_range(self, key: TopicAndPartition) -> tuple[int, int]:
        """The first offset of a partition, and the end that the profile's isolation sees."""
        return self.ask(
            f"listing the offsets of {key[0]}",
            lambda client: client.get_watermark_offsets(TopicPartition(*key), timeout=_TIMEOUT_S),
        )

    def known_end(self, key: TopicAndPartition) -> int | None:
        """The end offset of a partition as of the last fetch; None before the first fetch."""
        _, high = self.client.get_watermark_offsets(TopicPartition(*key), cached=True)
        return high if high >= _FIRST_OFFSET else None

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
