"""`homma status`: the processes of a data folder."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from homma.cli.options import with_settings
from homma.settings import UpSettings

if TYPE_CHECKING:
    from homma.cli.terminal.stages import StageView

_RATE_PERIOD_S = 1.0
#: Characters of a line that no terminal limits.
_WIDE = 200


@click.command()
@with_settings(UpSettings)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def status(settings: UpSettings, as_json: bool) -> None:
    """Show the running processes, their CPU, memory, rates and lag.

    CPU is a share of one core in the last second, so a process with several threads can have more
    than 100%. The last column has the ticks that the engine has not counted since it started: dead
    letters, ticks dropped as late, and duplicates. The exit status is 1 if nothing runs.

    \b
    Example:
      homma status
      homma status --json
    """
    from rich.console import Console

    from homma.cli.terminal.stages import stage_table
    from homma.stack.processes.folder import owner_of
    from homma.stack.processes.record import read_record

    owner = owner_of(settings.dir)
    if owner is None:
        click.echo(json.dumps({"running": False}) if as_json else f"nothing runs in {settings.dir}")
        raise SystemExit(1)
    views = _views(settings)
    if as_json:
        ports = {e.status.name: e.ports for e in read_record(settings.dir).entries}
        stages = [row | {"ports": ports.get(str(row["stage"]), {})} for row in _table(views)]
        click.echo(json.dumps({"running": True, "pid": owner.pid, "stages": stages}))
    else:
        # A file or a pipe has no width of its own: no line is broken there.
        width = None if sys.stdout.isatty() else _WIDE
        Console(width=width).print(stage_table(views))


def _views(settings: UpSettings) -> list[StageView]:
    from homma.cli.terminal.stages import (
        describe_ingestion,
        describe_ports,
        describe_verification,
        not_counted,
        stage_view,
        take_sample,
    )
    from homma.stack.processes.record import read_record

    entries = read_record(settings.dir).entries
    first = {e.status.name: take_sample(e.status, e.ports) for e in entries}
    time.sleep(_RATE_PERIOD_S)
    views = []
    for entry in entries:
        now = take_sample(entry.status, entry.ports)
        metrics = now.metrics or {}
        details = (
            describe_verification(metrics, time.time())
            or describe_ingestion(metrics)
            or ", ".join(not_counted(metrics))
            or describe_ports(entry.ports)
        )
        views.append(stage_view(entry.status, details, first[entry.status.name], now))
    return views


def _table(views: list[StageView]) -> list[dict[str, object]]:
    return [
        {
            "stage": view.status.name,
            "state": view.status.state,
            "pid": view.status.pid,
            "restarts": view.status.restarts,
            "ticksPerSecond": view.ticks_per_s,
            "lag": view.lag,
            "cpu": view.cpu,
            "memoryBytes": view.memory_bytes,
            "trouble": view.status.trouble,
        }
        for view in views
    ]
