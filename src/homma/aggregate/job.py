"""The engine: what is done with partitions of ticks to make candles of them."""

import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from homma.aggregate import restore
from homma.aggregate.loop import Loop
from homma.aggregate.partition import Partition
from homma.aggregate.restore import RestoreContext, Restored
from homma.aggregate.stage import LoopSettings, PartitionTask, TickTopics
from homma.core.window import WindowRules
from homma.durations import microseconds
from homma.errors import SplitSeries
from homma.failpoint import Reached, ignored
from homma.metrics import Metrics
from homma.settings import AggregateSettings
from homma.topics.kafka.reading import Committed, Reader
from homma.topics.kafka.writing import Transactions

log = logging.getLogger("homma.aggregate")


class CandleStage:
    """Candles from ticks."""

    def __init__(
        self,
        sources: TickTopics,
        settings: AggregateSettings,
        metrics: Metrics,
        raw: str | None,
        reached: Reached,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._metrics = metrics
        self._raw = raw
        self._reached = reached
        self._rules = WindowRules(
            price=settings.price,
            watermark_delay_us=microseconds(settings.watermark_delay),
            allowed_lateness_us=microseconds(settings.allowed_lateness),
            idle_timeout_us=microseconds(settings.idle_timeout),
        )
        self._rebuilt: set[int] = set()
        self._owners: dict[tuple[str, str], int] = {}
        self._known: dict[int, int] = {}

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask:
        """Restore what a partition's candles and identities were at the committed offset."""
        source = RestoreContext(
            reader=reader,
            topics=self._sources.topics,
            partition=number,
            rules=self._rules,
            max_future_us=microseconds(self._settings.max_future),
            topic_id=self._sources.topic_id,
            feeds=self._feeds(number),
            rekeyed=self._raw is not None,
            reached=self._reached,
        )
        state = self._state(source, committed)
        runs_on = not self._settings.until_end
        return Partition(source, state, transactions, self._metrics, runs_on=runs_on)

    def _feeds(self, number: int) -> tuple[tuple[str, int], ...]:
        keyed = (self._sources.topics.ticks, number)
        if self._raw is None:
            return (keyed,)
        return (keyed, *((self._raw, n) for n in range(self._sources.partitions)))

    def _state(self, source: RestoreContext, committed: Committed | None) -> Restored:
        run = uuid.uuid4().hex[:12]
        if self._settings.rebuild and source.partition not in self._rebuilt:
            self._rebuilt.add(source.partition)
            state = restore.rebuilt(source, run)
            for code, start_us in restore.left_alone(state.window.rules.begin_us):
                log.warning(
                    "left alone, as ticks of it are gone: %s from %s, partition %d",
                    self._sources.topics.candles[code],
                    datetime.fromtimestamp(start_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M"),
                    source.partition,
                )
            return state
        if committed is None:
            return restore.fresh(source, run)
        return restore.restored(source, committed)

    def on_applied(self, work: PartitionTask) -> None:
        """One series in two partitions would give two half candles of one key."""
        assert isinstance(work, Partition)
        series, known = work.series, self._known.get(work.number, 0)
        for source, symbol in series.slice(known).select("source", "symbol").iter_rows():
            owner = self._owners.setdefault((source, symbol), work.number)
            if owner != work.number:
                raise SplitSeries(
                    f"series {source}:{symbol} of {self._sources.topics.ticks} stands in "
                    f"partitions {owner} and {work.number}",
                    "key the records SOURCE:SYMBOL where they are produced, or start with "
                    "--rekey --rebuild",
                )
        self._known[work.number] = series.height
        self._metrics.show("homma_series", len(self._owners))

    def on_revoked(self, number: int) -> None:
        """Its series are another process's now."""
        self._known.pop(number, None)
        self._owners = {name: p for name, p in self._owners.items() if p != number}


def engine(
    sources: TickTopics,
    settings: AggregateSettings,
    metrics: Metrics,
    raw: str | None = None,
    monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    reached: Reached = ignored,
) -> Loop:
    """The loop that makes candles; `raw` is the topic that the ticks were in before --rekey."""
    pace = LoopSettings(
        settings.group, settings.emit_every, settings.max_future, settings.until_end
    )
    stage = CandleStage(sources, settings, metrics, raw, reached)
    return Loop(sources, pace, stage, metrics, monotonic_us, reached)
