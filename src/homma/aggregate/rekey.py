"""Forwards ticks to a topic keyed by series, for feeds that scatter a series over partitions.

    stock_ticks ──▶ RekeyStage ──▶ stock_ticks_by_series ──▶ CandleStage

Exactly once, like the engine itself: a transaction has both the ticks and their offset. Value,
timestamp and headers stay the same; added headers have the original key and position. Records
that break the contract have no series: they become dead letters here.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from homma.core.tick import TickRules
from homma.durations import microseconds
from homma.errors import StateError
from homma.failpoint import OnStep, ignore_step
from homma.metrics import Metrics
from homma.partitions.alignment import WatermarkAlignment
from homma.partitions.committed import check_offset
from homma.partitions.counts import check_counts
from homma.partitions.forwarding import ForwardingPartition, Route
from homma.partitions.loop import Loop
from homma.partitions.origin import origin, rekeyed_origin
from homma.partitions.outgoing import OutgoingBatch, OutgoingRecords
from homma.partitions.stage import LoopSettings, PartitionTask, TickTopics
from homma.settings import AggregateSettings
from homma.topics.kafka.identity import TopicState, topic_state
from homma.topics.kafka.reading import Committed, Message, Range, Reader
from homma.topics.kafka.writing import Transactions
from homma.topics.offset_metadata import read_forward_metadata
from homma.topics.ticks import ParsedBatch, parse_ticks

#: Ticks wait at most for this share of allowed_lateness, so that no tick is dropped because
#: another one overtook it.
DRIFT_SHARE: Final = 10


def outgoing(batch: ParsedBatch, where: str) -> OutgoingBatch:
    """Key records by their series. Raises InternalError if a record is lost or counts twice."""
    errors: dict[int, str] = dict(batch.bad.iter_rows())
    key = pl.format("{}:{}", "source", "symbol").cast(pl.Binary).alias("key")
    keys, event_times_us = {}, [0] * len(batch.messages)
    for row, series_key, event_us in batch.valid.select("row", key, "event_us").rows():
        keys[row], event_times_us[row] = series_key, event_us
    check_counts(where, "read", len(batch.messages), valid=len(keys), dead=len(errors))
    origins = [origin(message) for message in batch.messages]
    return OutgoingBatch(
        offsets=[sent.offset for sent in origins],
        event_times_us=event_times_us,
        forwarded=OutgoingRecords(
            [*keys],
            [*keys.values()],
            [batch.messages[row].value() for row in keys],
            [batch.messages[row].timestamp()[1] for row in keys],
            [origins[row].rekeyed_headers() for row in keys],
        ),
        dead=OutgoingRecords(
            [*errors],
            [origins[row].key for row in errors],
            [batch.messages[row].value() for row in errors],
            [batch.messages[row].timestamp()[1] for row in errors],
            [origins[row].rejected_headers(error) for row, error in errors.items()],
        ),
    )


class RekeyStage:
    """Forwards the ticks of each partition, keyed by series."""

    def __init__(
        self, topics: TickTopics, settings: AggregateSettings, target_id: str, metrics: Metrics
    ) -> None:
        self._topics = topics
        self._target_id = target_id
        self._metrics = metrics
        self._tick_rules = TickRules(microseconds(settings.max_future), settings.prices)
        self._alignment = WatermarkAlignment(microseconds(settings.allowed_lateness) // DRIFT_SHARE)
        names = topics.topics
        self._route = Route(
            names.ticks,
            topics.topic_id,
            names.by_series,
            target_id,
            names.dead,
            dead_partition=lambda number: number,
        )

    def parse(self, batches: Mapping[int, list[Message]]) -> dict[int, OutgoingBatch]:
        """Parse records, check them by the rules of ticks of any kind, and key them by series."""
        parsed = parse_ticks(batches, self._tick_rules)
        ticks = self._topics.topics.ticks
        return {
            number: outgoing(batch, f"{ticks} partition {number}")
            for number, batch in parsed.items()
        }

    @property
    def announcement(self) -> str:
        """Nothing to announce but the name."""
        return "homma"

    def check_group(self) -> None:
        """Nothing to check: ticks are forwarded whatever the intervals are."""

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask[OutgoingBatch]:
        """Continue after the last tick that was forwarded."""
        return ForwardingPartition(
            self._route,
            number,
            self._start_offset(number, committed, reader),
            transactions,
            self._alignment,
            self._metrics,
            lambda batch: self._metrics.count("homma_ticks_dead", len(batch.dead.rows)),
        )

    def _start_offset(self, number: int, committed: Committed | None, reader: Reader) -> int:
        topics = self._topics.topics
        where = f"{topics.ticks} partition {number}"
        remedy = f"delete the topic {topics.by_series} and start with --rekey --rebuild"
        ticks = reader.offset_range(topics.ticks, number)
        if committed is None:
            if self._has_forwarded(number, reader):
                raise StateError(
                    f"{topics.by_series} has ticks of {where}, but the group has no committed "
                    "offset for them: the group was reset, or "
                    f"{topics.ticks} was deleted and created again",
                    remedy,
                )
            return ticks.start
        metadata = read_forward_metadata(committed.metadata, where)
        if topic_state(metadata.ontoId, self._target_id) is not TopicState.SAME:
            # The ticks forwarded so far were deleted together with their topic.
            return ticks.start
        state = topic_state(metadata.topicId, self._topics.topic_id)
        check_offset(where, committed.offset, metadata.lastTicksBefore, ticks, state, remedy)
        return committed.offset

    def _has_forwarded(self, number: int, reader: Reader) -> bool:
        """Whether a tick of the partition has been forwarded; may read all forwarded ticks."""
        topic = self._topics.topics.by_series
        for partition in range(self._topics.partitions):
            ranges: dict[str, Range] = {topic: reader.offset_range(topic, partition)}
            for batch in reader.read(partition, ranges):
                if any(rekeyed_origin(message).partition == number for message in batch):
                    return True
        return False

    def on_applied(self, task: PartitionTask[OutgoingBatch]) -> None:
        """Nothing to check."""

    def on_revoked(self, number: int) -> None:
        """The other partitions need not wait for this one any more."""
        self._alignment.forget(number)


def rekey_loop(
    topics: TickTopics,
    settings: AggregateSettings,
    target_id: str,
    metrics: Metrics,
    monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    on_step: OnStep = ignore_step,
) -> Loop[OutgoingBatch]:
    """The loop that forwards ticks by series; `target_id` is the id of the topic they go to."""
    loop_settings = LoopSettings(f"{settings.group}-rekey", settings.emit_every, settings.until_end)
    stage = RekeyStage(topics, settings, target_id, metrics)
    return Loop(topics, loop_settings, stage, metrics, monotonic_us, on_step)
