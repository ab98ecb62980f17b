"""Loads files of ticks for a pipeline, as `homma backfill` does."""

import time
from collections.abc import Callable
from pathlib import Path

from homma.core.fields import Prices
from homma.core.finality import FinalityRules
from homma.core.tick import Price
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording
from homma.lake.audit.backfill import LoadedTicks, initial_state, load
from homma.lake.audit.repair import RepairReport, repair
from homma.lake.audit.takeovers import Takeovers
from homma.lake.audit.verify import Scope
from homma.lake.schema import candle_tables
from homma.topics.kafka.admin import Admin
from tests.support.landing import engine_of, lake_of
from tests.support.sinks import Sinks


def backfill(
    sinks: Sinks,
    *files: Path,
    layout: ColumnMapping | None = None,
    now_us: int | None = None,
    price: Price = "mid",
    prices: Prices = "positive",
    when_published: Callable[[], None] = lambda: None,
) -> RepairReport:
    """Load files, at a time of the clock."""
    pipeline, calendar = sinks.pipeline, sinks.pipeline.topics.calendar
    topic_id = Admin(pipeline.config).topic_id(pipeline.topics.ticks) or ""
    recording = Recording(files, layout or ColumnMapping())
    with (
        lake_of(sinks) as lake,
        engine_of(sinks) as engine,
        Takeovers(engine) as takeovers,
    ):
        takeovers.prepare()
        for spec in candle_tables(calendar):
            lake.ensure_table(spec)
        skip = bool(layout and layout.skip)
        clock_us = now_us or time.time_ns() // 1000

        def publish(loaded: LoadedTicks) -> RepairReport:
            report = repair(
                lake,
                engine,
                Scope(calendar, price=price, prices=prices, span=loaded.span(calendar)),
                FinalityRules(),
                lambda: clock_us,
                initial_state=initial_state(engine, topic_id, price, prices, clock_us),
                newest_times=loaded.newest_times,
                new_ticks=loaded.new_ticks(price),
                takeovers=takeovers,
            )
            when_published()
            return report

        _, report = load(
            recording.frames(),
            lake,
            time.time_ns() // 1000,
            publish,
            prices=prices,
            skip_invalid=skip,
        )
        return report
