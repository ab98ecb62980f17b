"""The engine's stage: makes candles of the ticks of each partition."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from homma.aggregate import group, restore
from homma.aggregate.partition import Partition
from homma.aggregate.recorded_state import RestoreContext
from homma.aggregate.restore import RestoredState
from homma.core.finality import FinalityRules
from homma.core.series_partitions import SeriesPartitions
from homma.core.tick import TickRules
from homma.core.window import WindowRules
from homma.durations import microseconds
from homma.errors import StateError
from homma.failpoint import OnStep, ignore_step
from homma.formats import TRADES_SINCE
from homma.metrics import Metrics
from homma.partitions.loop import Loop
from homma.partitions.stage import LoopSettings, PartitionTask, TickTopics
from homma.settings import AggregateSettings
from homma.topics.kafka.reading import Committed, Message, Reader
from homma.topics.kafka.writing import Transactions
from homma.topics.offset_metadata import check_format_1
from homma.topics.ticks import ParsedBatch, parse_ticks

log = logging.getLogger("homma.aggregate")


class CandleStage:
    """Candles from ticks."""

    def __init__(
        self,
        topics: TickTopics,
        settings: AggregateSettings,
        metrics: Metrics,
        source_topic: str | None,
        on_step: OnStep,
    ) -> None:
        self._topics = topics
        self._settings = settings
        self._metrics = metrics
        self._source_topic = source_topic
        self._on_step = on_step
        self._rules = WindowRules(
            price=settings.price,
            calendar=topics.topics.calendar,
            finality=FinalityRules(
                watermark_delay_us=microseconds(settings.watermark_delay),
                allowed_lateness_us=microseconds(settings.allowed_lateness),
                idle_timeout_us=microseconds(settings.idle_timeout),
            ),
        )
        self._tick_rules = TickRules(
            microseconds(settings.max_future), settings.prices, settings.price
        )
        self._format = settings.write_format
        self._check_format({})
        #: Partitions that were opened. `--rebuild` does not start them again.
        self._opened: set[int] = set()
        self._series_partitions = SeriesPartitions()
        #: By partition, the number of series already checked.
        self._checked: dict[int, int] = {}

    def _check_format(self, publish_from_us: Mapping[str, int]) -> None:
        """Raise StateError if the format to write cannot describe the state of a partition."""
        if self._format == 1:
            check_format_1(self._rules.calendar.codes, publish_from_us)
        if self._format < TRADES_SINCE and self._rules.price == "trade":
            raise StateError(
                f"format {self._format} has no candles of trades, but --price is trade",
                f"start without --write-format {self._format}",
            )

    def parse(self, batches: Mapping[int, list[Message]]) -> dict[int, ParsedBatch]:
        """Parse records, and check them by the rules of ticks."""
        return parse_ticks(batches, self._tick_rules)

    @property
    def announcement(self) -> str:
        """The intervals, which all members have in common."""
        return group.announcement(self._rules.calendar)

    def check_group(self) -> None:
        """Raise StateError if another engine of the group has other intervals."""
        name = self._settings.group
        group.check_members(self._topics.client_ids(name), self._rules.calendar, name)

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask[ParsedBatch]:
        """Restore the partition's candles and identities as of the committed offset."""
        context = RestoreContext(
            reader=reader,
            topics=self._topics.topics,
            partition=number,
            rules=self._rules,
            tick_rules=self._tick_rules,
            topic_id=self._topics.topic_id,
            tick_partitions=self._tick_partitions(number),
            is_rekeyed=self._source_topic is not None,
            on_step=self._on_step,
        )
        state = self._restore(context, committed)
        if state.committed_intervals != self._rules.calendar.codes:
            # A running engine may have made the last commit, or be the first to commit soon.
            self.check_group()
        self._check_format(state.window.rules.publish_from_us)
        # Only now: after an error in between, the next attempt must rebuild too.
        self._opened.add(number)
        keeps_time = not self._settings.until_end
        return Partition(
            context,
            state,
            transactions,
            self._metrics,
            keeps_time=keeps_time,
            write_format=self._format,
        )

    def _tick_partitions(self, number: int) -> tuple[tuple[str, int], ...]:
        partition = (self._topics.topics.ticks, number)
        if self._source_topic is None:
            return (partition,)
        return (partition, *((self._source_topic, n) for n in range(self._topics.partitions)))

    def _restore(self, context: RestoreContext, committed: Committed | None) -> RestoredState:
        run = uuid.uuid4().hex[:12]
        if self._settings.rebuild and context.partition not in self._opened:
            restore.require_same_kind(context, committed)
            state = restore.start_rebuild(context, run)
            self._log_incomplete(context.partition, state.window.rules.publish_from_us)
            return state
        if committed is None:
            return restore.first_run(context, run)
        return restore.restore_committed(context, committed)

    def _log_incomplete(self, partition: int, publish_from_us: Mapping[str, int]) -> None:
        for code, start_us in restore.incomplete_candles(publish_from_us):
            log.warning(
                "%s partition %d: candles that start at %s or earlier were not rebuilt, because "
                "some of their ticks were deleted",
                self._topics.topics.candles[code],
                partition,
                datetime.fromtimestamp(start_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M"),
            )

    def on_applied(self, task: PartitionTask[ParsedBatch]) -> None:
        """Raise SplitSeries if a series is in two partitions: each has only part of its ticks."""
        assert isinstance(task, Partition)
        series, checked = task.series, self._checked.get(task.number, 0)
        new = series.slice(checked).with_columns(partition=task.number)
        self._series_partitions.require_unsplit(new, self._topics.topics.ticks)
        self._checked[task.number] = series.height
        self._metrics.set("homma_series", len(self._series_partitions.by_series))

    def on_revoked(self, number: int) -> None:
        """Forget the partition's series: another process owns them now."""
        self._checked.pop(number, None)
        self._series_partitions.forget(number)


def candle_loop(
    topics: TickTopics,
    settings: AggregateSettings,
    metrics: Metrics,
    source_topic: str | None = None,
    monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    on_step: OnStep = ignore_step,
) -> Loop[ParsedBatch]:
    """The loop that makes candles. With --rekey, `source_topic` is the topic before rekeying."""
    loop_settings = LoopSettings(settings.group, settings.emit_every, settings.until_end)
    stage = CandleStage(topics, settings, metrics, source_topic, on_step)
    return Loop(topics, loop_settings, stage, metrics, monotonic_us, on_step)
