"""Loads files of ticks for a pipeline, as `homma backfill` does."""

import time
from pathlib import Path

from homma.core.finality import FinalityRules
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording
from homma.lake.audit.backfill import initial_state, load
from homma.lake.audit.repair import RepairReport, repair
from homma.lake.audit.takeovers import Takeovers
from homma.lake.audit.verify import Scope
from homma.lake.schema import candle_tables
from homma.topics.kafka.admin import Admin
from tests.support.landing import engine_of, lake_of
from tests.support.sinks import Sinks


def backfill(
    sinks: Sinks, *files: Path, layout: ColumnMapping | None = None, now_us: int | None = None
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
        loaded = load(recording.frames(), lake, time.time_ns() // 1000, skip_invalid=skip)
        clock_us = now_us or time.time_ns() // 1000
        return repair(
            lake,
            engine,
            Scope(calendar, span=loaded.span(calendar)),
            FinalityRules(),
            lambda: clock_us,
            initial_state=initial_state(engine, topic_id, "mid", clock_us),
            newest_times=loaded.newest_times,
            loaded=loaded.recorded("mid"),
            takeovers=takeovers,
        )
