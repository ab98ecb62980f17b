"""`homma verify`: whether the candles are those of the ticks."""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import click

from homma.cli.catalog import Catalog
from homma.cli.checking import as_text, counted, examples, opened, progress, ranged, span_of
from homma.cli.options import takes
from homma.cli.signals import stop_on_signals
from homma.core.compare import WRONG, Tally
from homma.durations import microseconds
from homma.lake.counted_ticks import SeriesFilter
from homma.lake.table import Lake
from homma.lake.verify import Report, Scope
from homma.lake.verify import verify as compared
from homma.metrics import VERIFY, Metrics
from homma.settings import (
    KafkaSettings,
    LakeSettings,
    MetricsSettings,
    TopicSettings,
    VerifySettings,
)
from homma.topics import contract
from homma.topics.kafka.connection import Connection

_LOOK_S: Final = 0.2


@click.command()
@takes(KafkaSettings, TopicSettings, LakeSettings, VerifySettings, MetricsSettings)
@ranged
@click.option("--tables-only", is_flag=True, help="without Kafka, where nothing is in motion")
def verify(
    kafka: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: VerifySettings,
    metrics: MetricsSettings,
    tables_only: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Recompute candles from the lake's ticks and compare them with tables and topics.

    Exit status 1 if any candle is missing, different, or should not be there. Candles in motion
    are compared as far as they are; a table that its topic is ahead of is `behind`, and what
    retention has taken out of a topic is `expired`: neither is wrong.

    \b
    Example:
      homma verify
      homma verify BNBUSD --from 2025-03-01 --to 2025-04-01
      homma verify --from 24h --json
      homma verify --from 24h --every 1h --metrics-port 9305   watched by Prometheus
    """

    def report() -> Report:
        question = Scope(
            price=settings.price,
            series=SeriesFilter(asked["symbol"], asked["source"]),
            span=span_of(asked["since"], asked["until"]),
            max_future_us=microseconds(settings.max_future),
        )
        if tables_only:
            lake = Lake(catalog.properties, catalog.namespace)
            try:
                return compared(lake, None, question, progress())
            finally:
                lake.close()
        names = contract.topics(topics)
        with opened(kafka, names, catalog, settings.group) as (lake, engine):
            return compared(lake, engine, question, progress())

    measured = Metrics(VERIFY)
    measured.serve(metrics.metrics_host, metrics.metrics_port)
    found = _measured(report, measured)
    _say(found, as_json=as_json)
    if settings.every:
        stopped = stop_on_signals()
        while _waited(settings.every, stopped):
            found = _measured(report, measured)
            _say(found, as_json=as_json)
    sys.exit(1 if found.wrong else 0)


def _waited(span: timedelta, stopped: Callable[[], bool]) -> bool:
    """Whether that time has gone by without a wish to end."""
    until_s = time.monotonic() + span.total_seconds()
    while time.monotonic() < until_s and not stopped():
        time.sleep(_LOOK_S)
    return not stopped()


def _measured(report: Callable[[], Report], metrics: Metrics) -> Report:
    began_s = time.monotonic()
    found = report()
    for side, tally in _sides(found).items():
        for verdict in WRONG:
            metrics.show("homma_candles_wrong", tally.of(verdict), side, verdict)
    metrics.show("homma_ticks_compared", found.ticks)
    metrics.show("homma_verified_timestamp_seconds", time.time())
    metrics.observe("homma_verify_seconds", time.monotonic() - began_s)
    return found


def _sides(report: Report) -> dict[str, Tally]:
    """What was looked at: the tables, and the topics if there is a Kafka."""
    return {"tables": report.table} | ({} if report.topic is None else {"topics": report.topic})


def _say(report: Report, *, as_json: bool) -> None:
    sides = _sides(report)
    if as_json:
        said = {
            "ticks": report.ticks,
            "wrong": report.wrong,
            **{name: counted(tally) for name, tally in sides.items()},
            "examples": {name: examples(tally) for name, tally in sides.items()},
        }
        click.echo(json.dumps(said))
        return
    for name, tally in sides.items():
        click.echo(as_text(name, tally) + "\n")
    click.echo(f"recomputed from {report.ticks:,} ticks: " + _verdict(report.wrong))


def _verdict(wrong: int) -> str:
    return f"{wrong:,} candles are wrong; `homma repair` mends them" if wrong else "all is right"
