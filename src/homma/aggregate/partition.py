"""One partition of the engine, from tick records to candle records.

`_current` is the state after all records applied, `_committed` the state of the last commit. A
commit makes the current state the committed one; an abort goes back to the committed state.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from homma.aggregate import restore
from homma.aggregate.clock import PartitionClock
from homma.aggregate.latency import Arrivals
from homma.aggregate.recorded_state import RestoreContext
from homma.aggregate.restore import RestoredState
from homma.aggregate.tick_counts import TickCounts
from homma.core.interval import BY_CODE
from homma.core.series import NAMES, SeriesClocks
from homma.core.tick import ValidTicks, kind_of
from homma.core.traded_sums import BEYOND
from homma.core.window import ChangedCandles, Window
from homma.errors import Aborted
from homma.formats import CURRENT
from homma.metrics import Metrics
from homma.partitions.origin import RecordOrigin, origin, rekeyed_origin
from homma.topics import codec
from homma.topics.kafka.reading import Message
from homma.topics.kafka.writing import Transactions
from homma.topics.offset_metadata import OffsetMetadata, candle_headers
from homma.topics.ticks import ParsedBatch

log = logging.getLogger("homma.aggregate")

DROPPED_AS_LATE: Final = (
    "dateTime: the end of its minute is allowed_lateness or more behind the series' newest tick"
)


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record for the dead or late topic, with its error."""

    topic: str
    message: Message
    error: str


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The progress of a partition. Immutable."""

    window: Window
    offset: int
    clock: PartitionClock
    dormant: restore.Dormant
    rejected: tuple[RejectedRecord, ...] = ()
    arrivals: Arrivals = field(default_factory=Arrivals)
    #: Of the records read since the last commit.
    counts: TickCounts = field(default_factory=TickCounts)


class Partition:
    """The task of a partition of ticks that this process owns."""

    def __init__(
        self,
        context: RestoreContext,
        restored: RestoredState,
        transactions: Transactions,
        metrics: Metrics,
        *,
        keeps_time: bool,
        write_format: int = CURRENT,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.number = context.partition
        self._context = context
        self._transactions = transactions
        self._metrics = metrics
        #: Whether the partition clock keeps running at the end of the partition.
        self._keeps_time = keeps_time
        self._format = write_format
        self._wall_us = wall_us
        self._origin: Callable[[Message], RecordOrigin] = (
            rekeyed_origin if context.is_rekeyed else origin
        )
        self._run = restored.run
        self._run_starts = restored.run_starts
        #: Whether to commit the metadata even if no tick arrives: verify and repair read it.
        self._metadata_is_due = restored.committed_intervals not in (
            None,
            context.rules.calendar.codes,
        )
        clock = PartitionClock(restored.clock_us)
        self._committed = self._current = PartitionState(
            restored.window, restored.offset, clock, restored.dormant
        )

    @property
    def offset(self) -> int:
        """The offset after the last record applied."""
        return self._current.offset

    @property
    def is_committed(self) -> bool:
        """Whether all records applied are committed."""
        return self._current.offset == self._committed.offset

    @property
    def series(self) -> SeriesClocks:
        """The series seen so far."""
        return self._current.window.series

    def apply(self, batch: ParsedBatch, monotonic_us: int) -> None:
        """Apply records, in offset order.

        Raises InternalError if a record is lost or counts twice.
        """
        state = self._wake_series(batch.valid)
        window, applied = state.window.apply(batch.valid)
        topics, messages = self._context.topics, batch.messages
        rejected = [
            *(
                RejectedRecord(topics.dead, messages[row], error)
                for row, error in batch.bad.iter_rows()
            ),
            *(
                RejectedRecord(topics.late, messages[row], DROPPED_AS_LATE)
                for row in applied.dropped_late["row"].to_list()
            ),
            *(
                RejectedRecord(topics.dead, messages[row], BEYOND)
                for row in applied.beyond["row"].to_list()
            ),
        ]
        counts = TickCounts.of(batch, applied)
        counts.check(self._context.where, len(rejected))
        self._current = replace(
            state,
            window=window,
            offset=batch.end,
            clock=state.clock.after_record(batch.newest_us, monotonic_us),
            rejected=(*state.rejected, *rejected),
            arrivals=state.arrivals.add(batch.valid["timestamp_us"]),
            counts=state.counts.plus(counts),
        )

    def _wake_series(self, ticks: ValidTicks) -> PartitionState:
        """The current state with the dormant series that `ticks` has restored."""
        state = self._current
        if not state.dormant:
            return state
        names = ticks.select(NAMES).unique().rows()
        waking = {name: state.dormant[name] for name in names if name in state.dormant}
        if not waking:
            return state
        window = restore.restore_dormant(
            self._context, state.window, waking, self._run, self._run_starts
        )
        dormant = {name: at for name, at in state.dormant.items() if name not in waking}
        return replace(state, window=window, dormant=dormant)

    @property
    def is_full(self) -> bool:
        """Always false: a partition applies every record at once."""
        return False

    @property
    def has_more(self) -> bool:
        """Always false: a publish writes everything that is due."""
        return False

    def at_end(self, monotonic_us: int) -> None:
        """No record is left for now: the partition clock follows the machine's clock."""
        if self._keeps_time:
            clock = self._current.clock.at_end(monotonic_us)
            self._current = replace(self._current, clock=clock)

    def publish(self, monotonic_us: int, owner: object) -> bool:
        """Write what is due in one transaction; False if the transaction was rolled back.

        After a rollback, the partition is as of the last commit, and ticks have to be read again
        from `offset`. After Fenced or OutcomeUnknown, this Partition can no longer be used. Raises
        InternalError if the transaction would lack a record.
        """
        current = self._current
        current.counts.check(self._context.where, len(current.rejected))
        clock_us = current.clock.now_us(monotonic_us)
        window, candles = current.window.publish(clock_us)
        if candles.is_empty() and self.is_committed and not self._metadata_is_due:
            return True
        started = time.perf_counter()
        # The clock continues from the instant that decided which candles are final.
        clock = PartitionClock(clock_us, monotonic_us if current.clock.end_reached_us else None)
        state = replace(current, window=window, clock=clock)
        try:
            self._transactions.begin()
            self._write(candles, state)
            self._transactions.commit(
                self._context.topics.ticks,
                self.number,
                state.offset,
                self._metadata(state, clock_us).text(self._format),
                owner,
            )
        except Aborted as error:
            log.warning("partition %d: %s", self.number, error)
            self._transactions.abort()
            self._current = self._committed
            self._metrics.count("homma_transactions", 1, "aborted")
            return False
        self._report(candles, state, time.perf_counter() - started)
        self._metadata_is_due = False
        self._committed = self._current = replace(
            state, rejected=(), arrivals=Arrivals(), counts=TickCounts()
        )
        return True

    def _write(self, candles: ChangedCandles, state: PartitionState) -> None:
        headers = candle_headers(self._run, state.offset, self._format)
        ordered = candles.sort("interval", maintain_order=True)
        # All intervals at once: a step by columns costs much the same for a few rows.
        keys, values = codec.encode_candles(
            ordered, self._wall_us(), kind_of(self._context.rules.price), self._format
        )
        timestamps_ms = (ordered["published_us"] // 1000).to_list()
        first = 0
        for code, count in ordered["interval"].rle().struct.unnest().select("value", "len").rows():
            part = slice(first, first + count)
            first += count
            self._transactions.send(
                self._context.topics.candles[code],
                self.number,
                keys[part],
                values[part],
                timestamps_ms[part],
                [headers] * count,
            )
        for record in state.rejected:
            sent = self._origin(record.message)
            self._transactions.send(
                record.topic,
                self.number,
                [sent.key],
                [record.message.value()],
                [record.message.timestamp()[1]],
                [sent.rejected_headers(record.error)],
            )

    def _metadata(self, state: PartitionState, clock_us: int) -> OffsetMetadata:
        window = state.window
        return OffsetMetadata(
            run=self._run,
            lastTicksBefore=state.offset,
            recallFrom=window.identities.recall_from(state.offset),
            clock=clock_us,
            candlesFrom={code: us // 1000 for code, us in window.candles_from_us.items()},
            began=self._run_starts,
            begin=window.rules.publish_from_us,
            topicId=self._context.topic_id,
            price=window.rules.price,
            prices=self._context.tick_rules.prices,
            intervals=window.rules.calendar.codes,
        )

    def _report(self, candles: ChangedCandles, state: PartitionState, seconds: float) -> None:
        metrics, ticks = self._metrics, state.counts
        metrics.count("homma_ticks_read", ticks.read)
        metrics.count("homma_ticks_counted", ticks.accepted)
        metrics.count("homma_ticks_duplicate", ticks.duplicate)
        metrics.count("homma_ticks_dropped_late", ticks.dropped_as_late)
        metrics.count("homma_ticks_dead", ticks.dead)
        metrics.count("homma_ticks_not_applicable", ticks.not_applicable)
        for code, count in candles.group_by("interval").len().iter_rows():
            metrics.count("homma_candles_written", count, BY_CODE[code].name)
        metrics.observe("homma_transaction_seconds", seconds)
        metrics.count("homma_transactions", 1, "committed")
        counts, sum_s = state.arrivals.histogram(self._wall_us())
        metrics.observe_all("homma_tick_to_candle_seconds", counts, sum_s)

    def close(self) -> None:
        """Release the producer and discard whatever was not committed."""
        self._transactions.close()
