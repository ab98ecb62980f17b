"""`homma verify`: whether the candles are those of the ticks."""

import json
import sys
from typing import Any

import click

from homma.cli.catalog import Catalog
from homma.cli.checking import as_text, counted, examples, opened, progress, ranged, span_of
from homma.cli.options import takes
from homma.lake.basis import Series
from homma.lake.table import Lake
from homma.lake.verify import Question, Report
from homma.lake.verify import verify as compared
from homma.settings import (
    KafkaSettings,
    LakeSettings,
    TopicSettings,
    VerifySettings,
    microseconds,
)
from homma.topics import contract
from homma.topics.kafka.connection import Connection


@click.command()
@takes(KafkaSettings, TopicSettings, LakeSettings, VerifySettings)
@ranged
@click.option("--tables-only", is_flag=True, help="without Kafka, where nothing is in motion")
def verify(
    kafka: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: VerifySettings,
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
    """
    question = Question(
        price=settings.price,
        series=Series(asked["symbol"], asked["source"]),
        span=span_of(asked["since"], asked["until"]),
        max_future_us=microseconds(settings.max_future),
    )
    if tables_only:
        lake = Lake(catalog.properties, catalog.namespace)
        report = compared(lake, None, question, progress())
        lake.close()
    else:
        names = contract.topics(topics)
        with opened(kafka, names, catalog, settings.group) as (lake, engine):
            report = compared(lake, engine, question, progress())
    _say(report, as_json=as_json)
    sys.exit(1 if report.wrong else 0)


def _say(report: Report, *, as_json: bool) -> None:
    sides = {"tables": report.table}
    if report.topic is not None:
        sides["topics"] = report.topic
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
