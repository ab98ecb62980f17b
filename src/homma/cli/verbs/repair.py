"""`homma repair`: publish the correct candles in place of wrong ones."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from homma.cli.catalog import Catalog
from homma.cli.options import with_settings
from homma.cli.range_options import with_range_options
from homma.core.interval import BY_CODE
from homma.durations import microseconds
from homma.settings import KafkaSettings, LakeSettings, RepairSettings, TopicSettings
from homma.topics import contract

if TYPE_CHECKING:
    from homma.lake.audit.repair import RepairReport
    from homma.topics.kafka.connection import Connection


@click.command()
@with_settings(KafkaSettings, TopicSettings, LakeSettings, RepairSettings)
@with_range_options
@click.option("--late", "only_late", is_flag=True, help="only candles with ticks dropped as late")
@click.option("--dry-run", is_flag=True, help="only print what is wrong, publish nothing")
def repair(
    connection: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: RepairSettings,
    only_late: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Replace wrong candles with recomputed ones.

    This recomputes candles from the lake's ticks, including ticks that were dropped as late, and
    publishes those that are missing or different to their topics, with the next revision; extra
    candles get a tombstone. `homma land` writes the candles to the tables. A running engine is
    fenced for a few seconds, and then continues from the repaired candles.

    \b
    Example:
      homma repair --late              repair the candles affected by ticks in stock_ticks_late
      homma repair --from 2025-03-20 --to 2025-03-21
      homma repair --dry-run
    """
    from homma.cli.comparison import as_engine_has_them, open_lake_and_engine, parse_span, progress
    from homma.core.finality import FinalityRules
    from homma.core.recompute import EventSpan
    from homma.lake.audit import late
    from homma.lake.audit.counted_ticks import SeriesFilter
    from homma.lake.audit.repair import repair as repair_candles
    from homma.lake.audit.verify import Scope

    topics, price, prices = as_engine_has_them(
        connection, topics, settings.group, settings.price, settings.prices
    )
    names = contract.topics(topics)
    with (
        open_lake_and_engine(connection, names, catalog, settings.group) as (lake, engine),
        progress() as show,
    ):
        span, keys = parse_span(options["since"], options["until"]), None
        if only_late:
            keys = late.late_keys(engine.reader, names.late, engine.partitions, topics.intervals)
            span = late.span_of(keys) or EventSpan(0, 0)
        scope = Scope(
            topics.intervals,
            price=price,
            prices=prices,
            series=SeriesFilter(options["symbol"], options["source"]),
            span=span,
            max_future_us=microseconds(settings.max_future),
        )
        rules = FinalityRules(
            watermark_delay_us=microseconds(settings.watermark_delay),
            idle_timeout_us=microseconds(settings.idle_timeout),
            allowed_lateness_us=microseconds(settings.allowed_lateness),
        )
        report = repair_candles(
            lake,
            engine,
            scope,
            rules,
            lambda: time.time_ns() // 1000,
            keys=keys,
            dry_run=dry_run,
            on_slice=show,
        )
    _print_report(report, as_json=as_json, dry_run=dry_run)


def _print_report(report: RepairReport, *, as_json: bool, dry_run: bool) -> None:
    from homma.cli.comparison import counts_by_interval, format_tally

    sides = {"tables": report.table, "topics": report.topic}
    if as_json:
        verdicts = {name: counts_by_interval(tally) for name, tally in sides.items()}
        result = {
            "ticks": report.ticks,
            "published": _by_name(report.published),
            "removed": _by_name(report.removed),
            "handedOver": [code for code in BY_CODE if code in report.handed_over],
            "verdicts": verdicts,
        }
        click.echo(json.dumps(result))
        return
    for name, tally in sides.items():
        if tally.wrong:
            click.echo(format_tally(name, tally) + "\n")
    if not (report.table.wrong or report.topic.wrong):
        click.echo(f"recomputed from {report.ticks:,} ticks: no candle is wrong")
    elif dry_run:
        click.echo("nothing was published (--dry-run)")
    if report.published or report.removed:
        click.echo(
            f"published {sum(report.published.values()):,} candles, "
            f"removed {sum(report.removed.values()):,}"
        )
    if report.handed_over:
        codes = ",".join(code for code in BY_CODE if code in report.handed_over)
        click.echo(f"the engine continues the repaired candles of {codes}")


def _by_name(counts: Mapping[str, int]) -> dict[str, int]:
    return {interval.name: counts[code] for code, interval in BY_CODE.items() if code in counts}
