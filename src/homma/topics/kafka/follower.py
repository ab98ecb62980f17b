"""Read topics backwards from their ends as far as needed, then every new record."""

from collections.abc import Iterator
from typing import Final

from confluent_kafka import Message

from homma.formats import format_of_headers
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.consumer import PartitionConsumer, TopicAndPartition
from homma.topics.kafka.profiles import FOLLOWER
from homma.topics.kafka.reading import Range, Reader
from homma.topics.latest import CandleRecord

#: Offsets per partition in the first step back. Each further step is larger.
_FIRST_STEP: Final = 1_000
_GROWTH: Final = 4
#: Stop stepping back after this many offsets over all partitions.
_MAX_OFFSETS: Final = 1_000_000

#: Offset ranges by partition.
Step = dict[TopicAndPartition, Range]


class Follower:
    """Reads all partitions of topics, committed records only, without joining a group."""

    def __init__(self, connection: Connection, *topics: str) -> None:
        self._reader = Reader(connection)
        self._consumer = PartitionConsumer(connection, FOLLOWER)
        # For this consumer, a partition ends before the first open transaction.
        self._readable = {
            (topic, partition): Range(*self._consumer.offset_range((topic, partition)))
            for topic in topics
            for partition in range(self._reader.partitions(topic))
        }

    def steps(self, max_offsets: int = _MAX_OFFSETS) -> Iterator[Step]:
        """Steps back from the end to the oldest record, each longer than the one before.

        No step begins after `max_offsets` offsets over all partitions.
        """
        ends = {p: span.end for p, span in self._readable.items()}
        length, covered = _FIRST_STEP, 0
        while covered < max_offsets and any(
            self._readable[p].start < end for p, end in ends.items()
        ):
            step = {p: Range(max(self._readable[p].start, e - length), e) for p, e in ends.items()}
            yield step
            covered += sum(span.end - span.start for span in step.values())
            ends = {p: span.start for p, span in step.items()}
            length *= _GROWTH

    def read(self, step: Step) -> Iterator[list[Message]]:
        """The records of a step, batch by batch."""
        for partition in sorted({partition for _, partition in step}):
            spans = {topic: span for (topic, p), span in step.items() if p == partition}
            yield from self._reader.read(partition, spans)

    def follow(self) -> None:
        """Start following new records, from where the first step back began. See `poll`."""
        self._consumer.start({key: span.end for key, span in self._readable.items()})

    def poll(self, timeout_s: float) -> list[Message]:
        """New records; an empty list if there are none within `timeout_s`."""
        return self._consumer.consume_available(timeout_s).records

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        self._consumer.close()


def candle_record(message: Message) -> CandleRecord:
    """Convert a message to a CandleRecord. Raises StateError if a newer homma wrote it."""
    format_of_headers(dict(message.headers() or ()), f"a candle in {message.topic()}")
    return CandleRecord(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()),
    )


def _bytes(text: str | bytes | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text
