"""`homma verify`: compare the candles with the ticks."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from homma.cli.catalog import Catalog
from homma.cli.options import with_settings
from homma.cli.range_options import with_range_options
from homma.durations import microseconds
from homma.errors import KafkaError, LakeError
from homma.settings import (
    KafkaSettings,
    LakeSettings,
    MetricsSettings,
    TopicSettings,
    VerifySettings,
)
from homma.topics import contract

if TYPE_CHECKING:
    from homma.core.compare import Tally
    from homma.lake.audit.verify import Report
    from homma.metrics import Metrics
    from homma.topics.kafka.connection import Connection

log = logging.getLogger("homma.verify")


@click.command()
@with_settings(KafkaSettings, TopicSettings, LakeSettings, VerifySettings, MetricsSettings)
@with_range_options
@click.option(
    "--tables-only",
    is_flag=True,
    help="compare only the tables and do not use Kafka; use this while nothing else is running",
)
@click.option("--wait", is_flag=True, help="with --every, also wait before the first comparison")
def verify(
    connection: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: VerifySettings,
    metrics: MetricsSettings,
    tables_only: bool,
    wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare candles with those recomputed from ticks.

    `verify` reads ticks from the lake, and candles from the tables and the topics. The exit status
    is 1 if candles are missing, different or extra. Unless you set --price and --intervals, both
    are those that the engine of the group has stored with its offsets. Open candles are compared
    with the ticks counted so far. `behind` means that a table has not caught up with its topic, and
    `expired` that retention has deleted a candle from its topic; neither counts as wrong.

    \b
    Example:
      homma verify
      homma verify BNBUSD --from 2025-03-01 --to 2025-04-01
      homma verify --from 24h --json
      homma verify --from 24h --every 1h --metrics-port 9305   for Prometheus
    """
    from homma.cli.child_process import in_child
    from homma.metrics import VERIFY, Metrics

    def compare() -> Report:
        return _compare(connection, topics, catalog, settings, options, tables_only=tables_only)

    def report() -> Report:
        return in_child(compare) if settings.every else compare()

    verify_metrics = Metrics(VERIFY)
    verify_metrics.serve(metrics.metrics_host, metrics.metrics_port)

    def compare_once() -> int:
        result = _with_metrics(report, verify_metrics)
        _print_report(result, as_json=as_json)
        return result.wrong

    wrong = _repeat(compare_once, settings.every, wait=wait) if settings.every else compare_once()
    sys.exit(1 if wrong else 0)


def _compare(
    connection: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: VerifySettings,
    options: Mapping[str, str],
    *,
    tables_only: bool,
) -> Report:
    # While it waits for the first comparison, a verifier has not imported the lake yet.
    from homma.cli.comparison import as_engine_has_them, open_lake_and_engine, parse_span, progress
    from homma.lake.audit.counted_ticks import SeriesFilter
    from homma.lake.audit.verify import Scope
    from homma.lake.audit.verify import verify as compare
    from homma.lake.table import Lake

    price, prices = settings.price, settings.prices
    if not tables_only:
        topics, price, prices = as_engine_has_them(
            connection, topics, settings.group, price, prices
        )
    scope = Scope(
        topics.intervals,
        price=price,
        prices=prices,
        series=SeriesFilter(options["symbol"], options["source"]),
        span=parse_span(options["since"], options["until"]),
        max_future_us=microseconds(settings.max_future),
    )
    if tables_only:
        lake = Lake(catalog.properties, catalog.namespace)
        try:
            with progress() as show:
                return compare(lake, None, scope, show)
        finally:
            lake.close()
    names = contract.topics(topics)
    with (
        open_lake_and_engine(connection, names, catalog, settings.group) as (lake, engine),
        progress() as show,
    ):
        return compare(lake, engine, scope, show)


def _repeat(compare_once: Callable[[], int], every: timedelta, *, wait: bool) -> int:
    """Compare until a signal, which also ends a comparison; return the last number."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wrong = 0
    try:
        if wait:
            time.sleep(every.total_seconds())
        while True:
            try:
                wrong = compare_once()
            except (KafkaError, LakeError) as error:
                # A server is being restarted, or no candle has landed yet.
                log.warning("nothing was compared, the next comparison follows: %s", error)
            time.sleep(every.total_seconds())
    except KeyboardInterrupt:
        return wrong


def _with_metrics(report: Callable[[], Report], metrics: Metrics) -> Report:
    from homma.core.compare import WRONG

    start_s = time.monotonic()
    result = report()
    for side, tally in _sides(result).items():
        for verdict in WRONG:
            metrics.set("homma_candles_wrong", tally.count(verdict), side, verdict)
    metrics.set("homma_ticks_compared", result.ticks)
    metrics.set("homma_verified_timestamp_seconds", time.time())
    metrics.observe("homma_verify_seconds", time.monotonic() - start_s)
    return result


def _sides(report: Report) -> dict[str, Tally]:
    """Return the comparison of the tables and, unless --tables-only, of the topics."""
    return {"tables": report.table} | ({} if report.topic is None else {"topics": report.topic})


def _print_report(report: Report, *, as_json: bool) -> None:
    from homma.cli.comparison import counts_by_interval, examples, format_tally

    sides = _sides(report)
    if as_json:
        result = {
            "ticks": report.ticks,
            "wrong": report.wrong,
            **{name: counts_by_interval(tally) for name, tally in sides.items()},
            "examples": {name: examples(tally) for name, tally in sides.items()},
        }
        click.echo(json.dumps(result))
        return
    for name, tally in sides.items():
        click.echo(format_tally(name, tally) + "\n")
    click.echo(f"recomputed from {report.ticks:,} ticks: " + _verdict(report.wrong))


def _verdict(wrong: int) -> str:
    return f"{wrong:,} candles are wrong; run `homma repair`" if wrong else "no candle is wrong"
