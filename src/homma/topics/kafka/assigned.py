"""Read committed records of many partitions without a consumer group; callers track offsets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

from homma.topics.kafka.connection import Connection, client_config, create_client, to_homma_error
from homma.topics.kafka.reading import Message

#: (topic, partition)
TopicAndPartition = tuple[str, int]

_OFFSET_LOST: Final = {Code._AUTO_OFFSET_RESET, Code.OFFSET_OUT_OF_RANGE}
_UNREACHABLE: Final = {Code._TRANSPORT, Code._ALL_BROKERS_DOWN, Code._RESOLVE}


@dataclass(frozen=True, slots=True)
class Batch:
    """Records by partition, the offsets of partition ends reached, and partitions to restart.

    The next offset of a partition in `lost` no longer exists.
    """

    records: Mapping[TopicAndPartition, list[Message]] = field(default_factory=dict)
    ends: Mapping[TopicAndPartition, int] = field(default_factory=dict)
    lost: frozenset[TopicAndPartition] = frozenset()


class AssignedReader:
    """Reads partitions of several topics, each from a given offset."""

    def __init__(self, config: Connection) -> None:
        self._config = config
        self._consumer = create_client(
            Consumer,
            client_config(
                config,
                group_id="homma-reader",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                enable_partition_eof=True,
                isolation_level="read_committed",
                auto_offset_reset="error",
                fetch_wait_max_ms=50,
                # Small fetches save memory, as in GroupReader.
                fetch_queue_backoff_ms=10,
                queued_min_messages=20_000,
                queued_max_messages_kbytes=4096,
                fetch_max_bytes=2 << 20,
                max_partition_fetch_bytes=512 << 10,
            ),
        )

    def start(self, offsets: Mapping[TopicAndPartition, int]) -> None:
        """Start reading partitions from given offsets, or move the ones that are already read."""
        parts = [
            TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()
        ]
        assigned = {(part.topic, part.partition) for part in self._consumer.assignment()}
        reassigned = [part for part in parts if (part.topic, part.partition) in assigned]
        if reassigned:
            self._consumer.incremental_unassign(reassigned)
        self._consumer.incremental_assign(parts)

    def consume(self, limit: int, timeout_s: float) -> Batch:
        """Up to `limit` records within `timeout_s`. An unreachable broker is not an error."""
        records: dict[TopicAndPartition, list[Message]] = {}
        ends: dict[TopicAndPartition, int] = {}
        lost: set[TopicAndPartition] = set()
        for message in self._consumer.consume(limit, timeout_s):
            key = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                if key in records:
                    records[key].append(message)
                else:
                    records[key] = [message]
            elif error.code() == Code._PARTITION_EOF:
                ends[key] = message.offset() or 0
            elif error.code() in _OFFSET_LOST:
                lost.add(key)
            elif not (error.retriable() or error.code() in _UNREACHABLE):
                raise to_homma_error(KafkaException(error), f"reading {key[0]}", self._config)
        return Batch(records, ends, frozenset(lost))

    def known_end(self, key: TopicAndPartition) -> int | None:
        """The end offset of a partition as of the last fetch; None before the first fetch."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
        return high if high >= 0 else None

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
