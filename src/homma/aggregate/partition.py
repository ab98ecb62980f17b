"""One partition's way from records to candles: it holds the window, and writes what is due.

Everything between two commits lives in `_now`; `_then` is the state as of the last commit. A
commit makes the one the other, an abort goes back.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from homma.aggregate import restore
from homma.aggregate.clock import PartitionClock
from homma.aggregate.latency import Arrivals
from homma.aggregate.origin import RecordOrigin, origin, origin_of_rekeyed
from homma.aggregate.restore import RestoreContext, Restored
from homma.core.interval import INTERVALS
from homma.core.series import BEFORE_ALL_US, NAMES
from homma.core.window import Window
from homma.metrics import Metrics
from homma.topics import codec
from homma.topics.kafka.reading import Message
from homma.topics.kafka.writing import Aborted, Transactions
from homma.topics.offset_metadata import OffsetMetadata, candle_headers
from homma.topics.ticks import ParsedBatch

log = logging.getLogger("homma.aggregate")

LATE: Final = "dateTime: its minute ended allowed_lateness or more behind its series' newest tick"


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that goes to another topic, and why."""

    topic: str
    message: Message
    error: str


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How far a partition is. Immutable."""

    window: Window
    offset: int
    clock: PartitionClock
    dormant: restore.Dormant
    refused: tuple[RejectedRecord, ...] = ()
    arrivals: Arrivals = field(default_factory=Arrivals)
    duplicates: int = 0
    read: int = 0
    counted: int = 0


class Partition:
    """A partition of ticks that this process owns."""

    def __init__(
        self,
        source: RestoreContext,
        start: Restored,
        transactions: Transactions,
        metrics: Metrics,
        *,
        runs_on: bool,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.number = source.partition
        self._source = source
        self._transactions = transactions
        self._metrics = metrics
        #: Whether time goes by at the partition's end.
        self._runs_on = runs_on
        self._wall_us = wall_us
        self._origin: Callable[[Message], RecordOrigin] = (
            origin_of_rekeyed if source.rekeyed else origin
        )
        self._run = start.run
        self._began = start.began
        self._then = self._now = PartitionState(
            start.window, start.offset, PartitionClock(start.clock_us), start.dormant
        )

    @property
    def offset(self) -> int:
        """After the last tick applied."""
        return self._now.offset

    @property
    def settled(self) -> bool:
        """Whether all that was applied is committed."""
        return self._now.offset == self._then.offset

    @property
    def series(self) -> pl.DataFrame:
        """The series known (columns as in core/series.py)."""
        return self._now.window.series

    def take(self, found: ParsedBatch, monotonic_us: int) -> None:
        """Apply records, in the order of their offsets."""
        now = self._wake(found.valid)
        window, applied = now.window.apply(found.valid)
        topics, messages = self._source.topics, found.messages
        refused = [
            *(
                RejectedRecord(topics.dead, messages[row], error)
                for row, error in found.bad.iter_rows()
            ),
            *(
                RejectedRecord(topics.late, messages[row], LATE)
                for row in applied.late["row"].to_list()
            ),
        ]
        self._now = replace(
            now,
            window=window,
            offset=found.end,
            clock=now.clock.read(found.newest_us, monotonic_us),
            refused=(*now.refused, *refused),
            arrivals=now.arrivals.with_(found.valid["timestamp_us"]),
            duplicates=now.duplicates + applied.duplicates,
            read=now.read + len(messages),
            counted=now.counted + applied.accepted,
        )

    def _wake(self, ticks: pl.DataFrame) -> PartitionState:
        """Take back the candles of dormant series that turn up."""
        now = self._now
        if not now.dormant:
            return now
        here = ticks.select(NAMES).unique().rows()
        waking = {name: now.dormant[name] for name in here if name in now.dormant}
        if not waking:
            return now
        window = restore.restore_dormant(self._source, now.window, waking, self._run, self._began)
        asleep = {name: at for name, at in now.dormant.items() if name not in waking}
        # What was read from the topics is committed: an abort need not go behind it.
        return replace(now, window=window, dormant=asleep)

    @property
    def full(self) -> bool:
        """It takes all there is."""
        return False

    @property
    def more(self) -> bool:
        """It publishes all there is."""
        return False

    def at_end(self, monotonic_us: int) -> None:
        """No record is left for now: the partition's clock runs on with the machine's."""
        if self._runs_on:
            self._now = replace(self._now, clock=self._now.clock.at_end(monotonic_us))

    def publish(self, monotonic_us: int, owner: object) -> bool:
        """Write what is due in one transaction; False if it was rolled back.

        Then the partition is as of the last commit, and its ticks have to be read again from
        `offset`. Raises Fenced and Indefinite, after which this Partition is of no more use.
        """
        clock_us = self._now.clock.now_us(monotonic_us)
        window, candles = self._now.window.publish(clock_us)
        if candles.is_empty() and self._now.offset == self._then.offset:
            return True
        started = time.perf_counter()
        # The clock goes on from what the candles were judged by.
        clock = PartitionClock(clock_us, monotonic_us if self._now.clock.ended_us else None)
        done = replace(self._now, window=window, clock=clock)
        try:
            self._transactions.begin()
            self._write(candles, done)
            self._transactions.commit(
                self._source.topics.ticks,
                self.number,
                done.offset,
                self._mark(done, clock_us).text(),
                owner,
            )
        except Aborted as error:
            log.warning("partition %d: %s", self.number, error)
            self._transactions.abort()
            self._now = self._then
            self._metrics.count("homma_transactions", 1, "aborted")
            return False
        self._report(candles, done, time.perf_counter() - started)
        self._then = self._now = replace(
            done, refused=(), arrivals=Arrivals(), duplicates=0, read=0, counted=0
        )
        return True

    def _write(self, candles: pl.DataFrame, done: PartitionState) -> None:
        headers = candle_headers(self._run, done.offset)
        ordered = candles.sort("interval", maintain_order=True)
        # All at once: a step by columns costs much the same for few rows as for many.
        keys, values = codec.candles_to(ordered, self._wall_us())
        timestamps_ms = (ordered["published_us"] // 1000).to_list()
        first = 0
        for code, count in ordered["interval"].rle().struct.unnest().select("value", "len").rows():
            part = slice(first, first + count)
            first += count
            self._transactions.send(
                self._source.topics.candles[code],
                self.number,
                keys[part],
                values[part],
                timestamps_ms[part],
                [headers] * count,
            )
        for refused in done.refused:
            came = self._origin(refused.message)
            self._transactions.send(
                refused.topic,
                self.number,
                [came.key],
                [refused.message.value()],
                [refused.message.timestamp()[1]],
                [came.refused(refused.error)],
            )

    def _mark(self, done: PartitionState, clock_us: int) -> OffsetMetadata:
        begin_us = done.window.rules.begin_us
        return OffsetMetadata(
            run=self._run,
            lastTicksBefore=done.offset,
            recallFrom=done.window.identities.recall_from(done.offset),
            clock=clock_us,
            candlesFrom=tuple(us // 1000 for us in done.window.candles_from_us),
            began=self._began,
            begin=None if begin_us == BEFORE_ALL_US else begin_us,
            topicId=self._source.topic_id,
            price=done.window.rules.price,
        )

    def _report(self, candles: pl.DataFrame, done: PartitionState, seconds: float) -> None:
        late = sum(r.topic == self._source.topics.late for r in done.refused)
        metrics = self._metrics
        metrics.count("homma_ticks_read", done.read)
        metrics.count("homma_ticks_counted", done.counted)
        metrics.count("homma_ticks_duplicate", done.duplicates)
        metrics.count("homma_ticks_dropped_late", late)
        metrics.count("homma_ticks_dead", len(done.refused) - late)
        for code, count in candles.group_by("interval").len().iter_rows():
            metrics.count("homma_candles_written", count, INTERVALS[code].name)
        metrics.observe("homma_transaction_seconds", seconds)
        metrics.count("homma_transactions", 1, "committed")
        counts, sum_s = done.arrivals.since(self._wall_us())
        metrics.observe_all("homma_tick_to_candle_seconds", counts, sum_s)

    def close(self) -> None:
        """Let go of the producer; what was not committed is nobody's."""
        self._transactions.close()
