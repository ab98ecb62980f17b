"""`homma doctor`: what is missing or misconfigured, and the remedy."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from homma.cli import checks, kafka_checks
from homma.cli.checks import Finding
from homma.cli.options import takes
from homma.settings import AggregateSettings, KafkaSettings, TopicSettings, UpSettings
from homma.topics.kafka.connection import Connection

_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "red"}


@click.command()
@takes(UpSettings, KafkaSettings, TopicSettings, AggregateSettings)
@click.option("--json", "as_json", is_flag=True, help="in machine form")
def doctor(
    up: UpSettings,
    kafka: Connection,
    topics: TopicSettings,
    settings: AggregateSettings,
    as_json: bool,
) -> None:
    """Check this machine and Kafka. Exit status 1 if anything fails, warnings aside.

    It changes nothing, and downloads nothing. Give it the flags that you give the other verbs.

    \b
    Example:
      homma doctor
      homma doctor --dir /data/homma --kafka-port 19092 --bootstrap.servers 127.0.0.1:19092
      homma doctor --json | jq '.[] | select(.status != "ok")'
    """
    where = kafka_checks.CheckedCluster(
        kafka=kafka,
        topics=topics,
        group=settings.group,
        own_port=checks.broker_port(up.dir),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    findings = list(_all(up, where))
    if as_json:
        click.echo(json.dumps(checks.table(findings), indent=2))
    else:
        _print(findings)
    if any(finding.status == "failure" for finding in findings):
        sys.exit(1)


def _all(up: UpSettings, where: kafka_checks.CheckedCluster) -> Iterator[Finding]:
    for check in checks.machine(up):
        yield from check()
    yield from kafka_checks.cluster(where)


def _print(findings: list[Finding]) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("")
    table.add_column("found, and what to do about it", overflow="fold")
    for one in findings:
        colour = _COLOURS[one.status]
        table.add_row(one.check, f"[{colour}]{one.status}[/]", _plain(one.found))
        if one.remedy:
            table.add_row("", "", f"→ {_plain(one.remedy)}", style="bold")
    console.print(table)
    counts = {s: sum(one.status == s for one in findings) for s in ("failure", "warning")}
    said = [f"{n} {s}{'s' if n > 1 else ''}" for s, n in counts.items() if n]
    console.print(", ".join(said) or "all is well")


def _plain(text: str) -> str:
    """A text in which square brackets are not rich's markup."""
    return text.replace("[", r"\[")
