"""Reads all it is told to, committed records only, without a group: others keep the offsets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

from homma.topics.kafka.connection import Connection, client_config, create, explained
from homma.topics.kafka.reading import Message

#: Topic and partition.
TopicAndPartition = tuple[str, int]

_GONE: Final = {Code._AUTO_OFFSET_RESET, Code.OFFSET_OUT_OF_RANGE}
_AWAY: Final = {Code._TRANSPORT, Code._ALL_BROKERS_DOWN, Code._RESOLVE}


@dataclass(frozen=True, slots=True)
class Batch:
    """What has come: records by place, the ends reached, and places whose offsets are gone."""

    records: Mapping[TopicAndPartition, list[Message]] = field(default_factory=dict)
    ends: Mapping[TopicAndPartition, int] = field(default_factory=dict)
    gone: frozenset[TopicAndPartition] = frozenset()


class AssignedReader:
    """Reads partitions of several topics side by side, each from an offset."""

    def __init__(self, config: Connection) -> None:
        self._config = config
        self._consumer = create(
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
                # As in the engine's reader: what is fetched is kept small until it is wanted.
                fetch_queue_backoff_ms=10,
                queued_min_messages=20_000,
                queued_max_messages_kbytes=4096,
                fetch_max_bytes=2 << 20,
                max_partition_fetch_bytes=512 << 10,
            ),
        )

    def start(self, offsets: Mapping[TopicAndPartition, int]) -> None:
        """Read these too, or from elsewhere."""
        parts = [TopicPartition(topic, number, at) for (topic, number), at in offsets.items()]
        here = {(part.topic, part.partition) for part in self._consumer.assignment()}
        again = [part for part in parts if (part.topic, part.partition) in here]
        if again:
            self._consumer.incremental_unassign(again)
        self._consumer.incremental_assign(parts)

    def consume(self, most: int, timeout_s: float) -> Batch:
        """Up to so many records; none after `timeout_s`. A broker that is away has none."""
        records: dict[TopicAndPartition, list[Message]] = {}
        ends: dict[TopicAndPartition, int] = {}
        gone: set[TopicAndPartition] = set()
        for message in self._consumer.consume(most, timeout_s):
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                if place in records:
                    records[place].append(message)
                else:
                    records[place] = [message]
            elif error.code() == Code._PARTITION_EOF:
                ends[place] = message.offset() or 0
            elif error.code() in _GONE:
                gone.add(place)
            elif not (error.retriable() or error.code() in _AWAY):
                raise explained(KafkaException(error), f"reading {place[0]}", self._config)
        return Batch(records, ends, frozenset(gone))

    def end_seen(self, place: TopicAndPartition) -> int | None:
        """The end of a partition as of the last fetch; None before the first."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return high if high >= 0 else None

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
