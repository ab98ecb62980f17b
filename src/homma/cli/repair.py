"""`homma repair`: candles that are wrong are made right."""

import json
import time
from typing import Any

import click

from homma.cli.catalog import Catalog
from homma.cli.checking import as_text, counted, opened, progress, ranged, span_of
from homma.cli.options import takes
from homma.core.interval import INTERVALS
from homma.core.recompute import EventSpan
from homma.durations import microseconds
from homma.lake import late
from homma.lake.correction import CorrectionRules
from homma.lake.counted_ticks import SeriesFilter
from homma.lake.repair import Repaired
from homma.lake.repair import repair as mended
from homma.lake.verify import Scope
from homma.settings import KafkaSettings, LakeSettings, RepairSettings, TopicSettings
from homma.topics import contract
from homma.topics.kafka.connection import Connection


@click.command()
@takes(KafkaSettings, TopicSettings, LakeSettings, RepairSettings)
@ranged
@click.option("--late", "only_late", is_flag=True, help="only candles that late ticks belong to")
@click.option("--dry-run", is_flag=True, help="publish nothing, say what is wrong")
def repair(
    kafka: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: RepairSettings,
    only_late: bool,
    dry_run: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Recompute candles from the lake's ticks and publish those that are missing or different.

    Late ticks count. Candles go to their topics with the next revision, from where `homma land`
    takes them into the tables; those that should not be get a tombstone. Beside a running engine
    it is safe: that is fenced for some seconds, and goes on from the repaired candles.

    \b
    Example:
      homma repair --late              what stock_ticks_late names
      homma repair --from 2025-03-20 --to 2025-03-21
      homma repair --dry-run
    """
    names = contract.topics(topics)
    with opened(kafka, names, catalog, settings.group) as (lake, engine):
        span, named = span_of(asked["since"], asked["until"]), None
        if only_late:
            named = late.late_keys(engine.reader, names.late, engine.partitions)
            span = late.span_of(named) or EventSpan(0, 0)
        question = Scope(
            price=settings.price,
            series=SeriesFilter(asked["symbol"], asked["source"]),
            span=span,
            max_future_us=microseconds(settings.max_future),
        )
        rules = CorrectionRules(
            microseconds(settings.watermark_delay), microseconds(settings.allowed_lateness)
        )
        done = mended(
            lake,
            engine,
            question,
            rules,
            lambda: time.time_ns() // 1000,
            named=named,
            dry_run=dry_run,
            on_slice=progress(),
        )
    _say(done, as_json=as_json, dry_run=dry_run)


def _say(done: Repaired, *, as_json: bool, dry_run: bool) -> None:
    sides = {"tables": done.table, "topics": done.topic}
    if as_json:
        published = {INTERVALS[code].name: n for code, n in sorted(done.published.items())}
        removed = {INTERVALS[code].name: n for code, n in sorted(done.removed.items())}
        found = {name: counted(tally) for name, tally in sides.items()}
        said = {"ticks": done.ticks, "published": published, "removed": removed, "found": found}
        click.echo(json.dumps(said))
        return
    for name, tally in sides.items():
        if tally.wrong:
            click.echo(as_text(name, tally) + "\n")
    if not (done.table.wrong or done.topic.wrong):
        click.echo(f"recomputed from {done.ticks:,} ticks: all is right")
    elif dry_run:
        click.echo("nothing was published (--dry-run)")
    else:
        click.echo(
            f"published {sum(done.published.values()):,} candles, "
            f"took {sum(done.removed.values()):,} away"
        )
