"""The stage that makes ticks of a foreign topic's records.

    prices, trades, … ──▶ IngestStage ──▶ stock_ticks ──▶ aggregate

Exactly once, like rekeying: `partitions/forwarding.py` does the work of both. A record that is no
tick by the definition's condition is counted and left out; one that should be a tick and is none
becomes a dead letter, with the reason and where it came from.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final

from homma.core.tick import TickRules
from homma.durations import microseconds
from homma.errors import StateError
from homma.failpoint import OnStep, ignore_step
from homma.feed.definitions.tick_reader import TickReader
from homma.feed.ingest.records import RecordParser, check_partitions
from homma.metrics import Metrics
from homma.partitions.alignment import WatermarkAlignment
from homma.partitions.committed import check_offset
from homma.partitions.forwarding import ForwardingPartition, Route
from homma.partitions.loop import Loop
from homma.partitions.outgoing import OutgoingBatch
from homma.partitions.stage import LoopSettings, PartitionTask, TickTopics
from homma.settings import IngestSettings
from homma.topics.kafka.identity import TopicState, topic_state
from homma.topics.kafka.reading import Committed, GroupOffsets, Message, Reader
from homma.topics.kafka.writing import ANY_PARTITION, NOTED_PARTITION, Transactions
from homma.topics.offset_metadata import read_forward_metadata

#: A partition may be ahead of the others by this share of allowed_lateness.
_DRIFT_SHARE: Final = 10
_REMEDY: Final = (
    "read it from its beginning with another --group; without a number in the feed definition, a "
    "tick may then count as a duplicate of one that had its offset and dateTime in the old topic"
)


class IngestStage:
    """Forwards the ticks of a foreign topic, keyed by series."""

    def __init__(
        self,
        route: Route,
        parser: RecordParser,
        settings: IngestSettings,
        noted: Callable[[], Committed | None],
        metrics: Metrics,
        clock_us: Callable[[], int],
    ) -> None:
        self._route = route
        self._parser = parser
        self._noted = noted
        self._accept_loss = settings.accept_loss
        self._metrics = metrics
        self._clock_us = clock_us
        self._alignment = WatermarkAlignment(
            microseconds(settings.allowed_lateness) // _DRIFT_SHARE
        )

    def parse(self, batches: Mapping[int, list[Message]]) -> dict[int, OutgoingBatch]:
        """Make ticks and dead letters of records."""
        return self._parser.parse(batches, self._clock_us())

    @property
    def announcement(self) -> str:
        """Nothing to announce but the name."""
        return "homma"

    def check_group(self) -> None:
        """Nothing to check: ticks are forwarded whatever others do."""

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask[OutgoingBatch]:
        """Continue after the last record that was forwarded."""
        return ForwardingPartition(
            self._route,
            number,
            self._start_offset(number, committed, reader),
            transactions,
            self._alignment,
            self._metrics,
            self._count,
        )

    def _start_offset(self, number: int, committed: Committed | None, reader: Reader) -> int:
        route = self._route
        where = f"{route.source} partition {number}"
        records = reader.offset_range(route.source, number)
        if committed is None:
            self._check_noted(where)
            return records.start
        metadata = read_forward_metadata(committed.metadata, where)
        if topic_state(metadata.ontoId, route.target_id) is not TopicState.SAME:
            # The ticks forwarded so far were deleted together with their topic.
            return records.start
        state = topic_state(metadata.topicId, route.source_id)
        is_lost = state is TopicState.SAME and committed.offset < records.start
        if is_lost and self._accept_loss:
            return records.start
        remedy = "continue with --accept-loss" if is_lost else _REMEDY
        check_offset(where, committed.offset, metadata.lastTicksBefore, records, state, remedy)
        return committed.offset

    def _check_noted(self, where: str) -> None:
        """Raise StateError if ticks of an earlier topic of the same name were forwarded."""
        noted = self._noted()
        if noted is None:
            return
        metadata = read_forward_metadata(noted.metadata, where)
        if topic_state(metadata.topicId, self._route.source_id) is not TopicState.SAME:
            raise StateError(f"the topic of {where} was deleted and created again", _REMEDY)

    def on_applied(self, task: PartitionTask[OutgoingBatch]) -> None:
        """Nothing to check."""

    def on_revoked(self, number: int) -> None:
        """The other partitions need not wait for this one any more."""
        self._alignment.forget(number)

    def _count(self, batch: OutgoingBatch) -> None:
        self._metrics.count("homma_ticks_forwarded", len(batch.forwarded.rows))
        self._metrics.count("homma_records_not_ticks", len(batch.not_ticks))
        self._metrics.count("homma_ticks_dead", len(batch.dead.rows))


def ingest_loop(
    source: TickTopics,
    target: TickTopics,
    reader: TickReader,
    settings: IngestSettings,
    metrics: Metrics,
    clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    on_step: OnStep = ignore_step,
) -> Loop[OutgoingBatch]:
    """The loop that makes ticks of the records of `source`, a foreign topic, in `target`."""
    names, definition = source.topics, reader.definition
    if "number" not in definition.fields:
        check_partitions(names.ticks, source.partitions)
    route = Route(
        names.ticks,
        source.topic_id,
        target.topics.ticks,
        target.topic_id,
        names.dead,
        # The topic may have more partitions than that of dead letters.
        dead_partition=lambda _: ANY_PARTITION,
        is_noted=True,
    )
    group = f"{settings.group}-ingest-{definition.name}-{names.ticks}"
    loop_settings = LoopSettings(
        group,
        settings.emit_every,
        settings.until_end,
        if_recreated=_REMEDY,
        may_grow=True,
    )
    parser = RecordParser(reader, TickRules(microseconds(settings.max_future), settings.prices))

    def noted() -> Committed | None:
        with closing(GroupOffsets(source.connection, group, target.topics.ticks)) as offsets:
            return offsets.committed(NOTED_PARTITION)

    stage = IngestStage(route, parser, settings, noted, metrics, clock_us)
    return Loop(source, loop_settings, stage, metrics, monotonic_us, on_step)
