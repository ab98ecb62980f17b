"""Opens the Iceberg tables of the topics, each with its sink."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Final

from homma.core.finality import FinalityRules
from homma.core.interval import Interval
from homma.core.tick import TickRules
from homma.durations import microseconds
from homma.failpoint import OnStep
from homma.lake.land.iceberg.candle_sink import CandleSink
from homma.lake.land.iceberg.committing import Committer, RetryPolicy
from homma.lake.land.iceberg.table_sink import SinkContext, no_offsets
from homma.lake.land.iceberg.tick_sink import TickSink
from homma.lake.land.sink import SinkFactory, SourceTopic
from homma.lake.schema import TICKS, TableSpec, candle_table
from homma.lake.table import Lake, Table
from homma.lake.valid_prices import choose_prices
from homma.metrics import Metrics
from homma.settings import LandSettings

#: Maximum number of commits to a candle table per interval, up to an interval of an hour.
_COMMITS_PER_INTERVAL: Final = 60
_MINUTE: Final = timedelta(minutes=1)
#: Number of tables that are opened in parallel: this mostly waits for the catalog.
_PARALLEL: Final = 4


def iceberg_sinks(
    lake: Lake,
    settings: LandSettings,
    metrics: Metrics,
    stopped: Callable[[], bool],
    on_step: OnStep,
) -> SinkFactory:
    """The factory of sinks that write to the tables of a lake."""
    context = SinkContext(
        RetryPolicy(stopped),
        metrics,
        on_step,
        orphan_retention_s=settings.orphan_retention.total_seconds(),
        maintain_every=settings.maintain_every,
    )
    return partial(_open_sinks, lake=lake, settings=settings, context=context)


def _open_sinks(
    sources: Sequence[SourceTopic], lake: Lake, settings: LandSettings, context: SinkContext
) -> list[TickSink | CandleSink]:
    """One sink per table; creates missing tables, and upgrades those of older formats."""
    specs = [_table_of(source) for source in sources]
    for spec in specs:
        # Check all tables before creating any: an error then leaves nothing behind.
        lake.has_table(spec)
    tables = [lake.ensure_table(spec) for spec in specs]
    for table, source in zip(tables, sources, strict=True):
        offsets = table.offsets()
        if offsets is not None:
            source.require_same(table.name, offsets.topic, offsets.topic_id)
    with ThreadPoolExecutor(_PARALLEL, "table") as pool:
        open_one = partial(_open_sink, settings=settings, context=context)
        return [sink for sink in pool.map(open_one, tables, sources) if sink]


def _table_of(source: SourceTopic) -> TableSpec:
    return TICKS if source.interval is None else candle_table(source.interval)


def _open_sink(
    table: Table, source: SourceTopic, settings: LandSettings, context: SinkContext
) -> TickSink | CandleSink | None:
    table.upgrade()
    interval = source.interval
    if interval is None:
        every_s = settings.commit_every.total_seconds()
        choose_prices(table, settings.prices)
        rules = TickRules(microseconds(settings.max_future), settings.prices)
        return TickSink(table, source, context, every_s, rules)
    if settings.candles_by != "homma":
        _hand_over(settings.candles_by, table, source, context)
        return None
    every_s = commit_interval(interval, settings.commit_every).total_seconds()
    finality = FinalityRules(
        watermark_delay_us=microseconds(settings.watermark_delay),
        idle_timeout_us=microseconds(settings.idle_timeout),
    )
    return CandleSink(table, source, context, every_s, finality)


def commit_interval(interval: Interval, commit_every: timedelta) -> timedelta:
    """The time between commits to the table of an interval."""
    length = timedelta(microseconds=interval.longest_us)
    return max(commit_every, min(length / _COMMITS_PER_INTERVAL, _MINUTE))


def _hand_over(owner: str, table: Table, source: SourceTopic, context: SinkContext) -> None:
    """Claim a table for another writer, which continues from the offsets in the table."""
    if table.sink() != owner:
        committer = Committer(table, context.retry, context.on_step, lambda _: None, sink=owner)
        committer.claim(no_offsets(source))
