"""`homma doctor`: find problems of this machine and Kafka, with their remedies."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from homma.cli.options import with_settings
from homma.settings import AggregateSettings, KafkaSettings, TopicSettings, UpSettings

if TYPE_CHECKING:
    from homma.cli.checks import kafka_checks
    from homma.cli.checks.machine_checks import Finding
    from homma.topics.kafka.connection import Connection

_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "red"}


@click.command()
@with_settings(UpSettings, KafkaSettings, TopicSettings, AggregateSettings)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def doctor(
    up: UpSettings,
    connection: Connection,
    topics: TopicSettings,
    settings: AggregateSettings,
    as_json: bool,
) -> None:
    """Check this machine and Kafka.

    Use the same flags as for the other commands. Nothing is changed or downloaded. The exit status
    is 1 if there are failures; warnings do not count.

    \b
    Example:
      homma doctor
      homma doctor --dir /data/homma
      homma doctor --bootstrap.servers broker:9092 --security.protocol SASL_SSL
      homma doctor --json | jq '.[] | select(.status != "ok")'
    """
    from homma.cli.checks import kafka_checks, machine_checks

    target = kafka_checks.CheckedCluster(
        connection=connection,
        topics=topics,
        group=settings.group,
        own_port=machine_checks.broker_port(up.dir),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    findings = list(_findings(up, target))
    if as_json:
        click.echo(json.dumps(machine_checks.table(findings), indent=2))
    else:
        _print(findings)
    if any(finding.status == "failure" for finding in findings):
        sys.exit(1)


def _findings(up: UpSettings, target: kafka_checks.CheckedCluster) -> Iterator[Finding]:
    from homma.cli.checks import kafka_checks, machine_checks

    for check in machine_checks.machine(up):
        yield from check()
    yield from kafka_checks.cluster(target)


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("")
    table.add_column("finding and remedy", overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.status]
        table.add_row(finding.check, f"[{colour}]{finding.status}[/]", _escape(finding.detail))
        if finding.remedy:
            table.add_row("", "", f"→ {_escape(finding.remedy)}", style="bold")
    console.print(table)
    counts = {s: sum(f.status == s for f in findings) for s in ("failure", "warning")}
    summary = [f"{n} {s}{'s' if n > 1 else ''}" for s, n in counts.items() if n]
    console.print(", ".join(summary) or "no problems")


def _escape(text: str) -> str:
    """Escape square brackets, which are markup in rich."""
    return text.replace("[", r"\[")
