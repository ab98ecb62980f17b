"""`homma status`: the processes of a data folder."""

import json
import time

import click
from rich.console import Console

from homma.cli.local import scrape
from homma.cli.options import with_settings
from homma.cli.terminal.overview import (
    StageView,
    describe_ports,
    stage_table,
    tick_counter,
    total_lag,
)
from homma.settings import UpSettings
from homma.stack.processes.folder import owner_of
from homma.stack.processes.record import read_record

_RATE_PERIOD_S = 1.0


@click.command()
@with_settings(UpSettings)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def status(settings: UpSettings, as_json: bool) -> None:
    """Show the running processes, their rates and lag.

    The exit status is 1 if nothing runs.

    \b
    Example:
      homma status
      homma status --json
    """
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
        Console().print(stage_table(views))


def _views(settings: UpSettings) -> list[StageView]:
    entries = read_record(settings.dir).entries
    ports = {e.status.name: e.ports["metrics"] for e in entries if "metrics" in e.ports}
    first = {name: scrape(port) for name, port in ports.items()}
    time.sleep(_RATE_PERIOD_S)
    views = []
    for entry in entries:
        name = entry.status.name
        old, new = first.get(name), scrape(ports[name]) if name in ports else None
        rate = None
        if old is not None and new is not None:
            counter = tick_counter(name)
            rate = (new.get(counter, 0) - old.get(counter, 0)) / _RATE_PERIOD_S
        lag = total_lag(new) if new else None
        views.append(StageView(entry.status, rate, lag, describe_ports(entry.ports)))
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
            "trouble": view.status.trouble,
        }
        for view in views
    ]
