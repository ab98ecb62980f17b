"""Whole topics as they grow: back from its end as far as need be, then every new record."""

from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

from homma.topics.kafka.connection import Connection, calling, client_config, create, explained
from homma.topics.kafka.reading import Message, Range, Reader
from homma.topics.latest import CandleRecord

_TIMEOUT_S: Final = 10.0
_IDLE_S: Final = 30.0
_BATCH: Final = 20_000
#: The first step back is this many offsets of each partition; each further one is larger.
_FIRST: Final = 1_000
_GROWTH: Final = 4
#: No step back is begun after so many offsets, all partitions together.
_MOST: Final = 1_000_000


#: Offsets of partitions, by topic and partition.
Step = dict[tuple[str, int], Range]


class Follower:
    """Reads all partitions of topics, committed records only, without joining a group."""

    def __init__(self, config: Connection, *topics: str) -> None:
        self._config = config
        self._reader = Reader(config)
        self._consumer = create(
            Consumer,
            client_config(
                config,
                group_id="homma-reader",
                enable_auto_commit=False,
                isolation_level="read_committed",
                # Records deleted while we were away are no reason to end.
                auto_offset_reset="earliest",
                fetch_wait_max_ms=100,
            ),
        )
        self._readable = {
            (topic, partition): self._now_readable(topic, partition)
            for topic in topics
            for partition in range(self._reader.partitions(topic))
        }

    def _now_readable(self, topic: str, partition: int) -> Range:
        # A committed reader's end lies before the first open transaction.
        low, high = calling(
            f"asking for the offsets of {topic}",
            self._config,
            lambda: self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=_TIMEOUT_S
            ),
        )
        return Range(low, high)

    def steps(self, most: int = _MOST) -> Iterator[Step]:
        """Steps back from the end until the oldest record, each longer than the one before.

        None is begun after `most` offsets, all partitions together.
        """
        ends = {place: span.end for place, span in self._readable.items()}
        length, covered = _FIRST, 0
        while covered < most and any(self._readable[p].start < end for p, end in ends.items()):
            step = {p: Range(max(self._readable[p].start, e - length), e) for p, e in ends.items()}
            yield step
            covered += sum(span.end - span.start for span in step.values())
            ends = {p: span.start for p, span in step.items()}
            length *= _GROWTH

    def read(self, step: Step) -> Iterator[list[Message]]:
        """The records of a step, batch by batch."""
        for partition in sorted({partition for _, partition in step}):
            spans = {topic: span for (topic, p), span in step.items() if p == partition}
            yield from self._reader.read(partition, spans, _IDLE_S)

    def go_on(self) -> None:
        """Stand where the first step back began; `arrived` gives what is written from there on."""
        self._consumer.assign(
            [TopicPartition(topic, p, span.end) for (topic, p), span in self._readable.items()]
        )

    def arrived(self, timeout_s: float) -> list[Message]:
        """New records, after `timeout_s` at the latest, which may be none."""
        batch = self._consumer.consume(1, timeout_s)
        if batch:
            batch += self._consumer.consume(_BATCH, 0)
        for message in batch:
            error = message.error()
            # While a broker is away there is nothing new; librdkafka goes on looking for it.
            if error is not None and not error.retriable() and error.code() != Code._TRANSPORT:
                raise explained(KafkaException(error), f"reading {message.topic()}", self._config)
        return [message for message in batch if message.error() is None]

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()
        self._consumer.close()


def record(message: Message) -> CandleRecord:
    """A message as the rules of `topics/latest.py` want it."""
    return CandleRecord(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()),
    )


def _bytes(found: str | bytes | None) -> bytes | None:
    return found.encode() if isinstance(found, str) else found
