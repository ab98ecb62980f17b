"""`homma status`: what runs in a folder."""

import json
import time

import click
from rich.console import Console

from homma.cli.local import measured
from homma.cli.options import takes
from homma.cli.overview import StageView, listening, stage_table
from homma.settings import UpSettings
from homma.stack.folder import owner_of
from homma.stack.record import read_record

_SECOND_LOOK_S = 1.0


@click.command()
@takes(UpSettings)
@click.option("--json", "as_json", is_flag=True, help="in machine form")
def status(settings: UpSettings, as_json: bool) -> None:
    """Say what runs: stages, rates, lag. Exit status 1 when nothing does.

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
    first = {name: measured(port) for name, port in ports.items()}
    time.sleep(_SECOND_LOOK_S)
    views = []
    for entry in entries:
        name = entry.status.name
        old, new = first.get(name), measured(ports[name]) if name in ports else None
        rate = None
        if old is not None and new is not None:
            counter = "homma_ticks_read_total" if name == "aggregate" else "homma_ticks_sent_total"
            rate = (new.get(counter, 0) - old.get(counter, 0)) / _SECOND_LOOK_S
        lag = new.get("homma_lag_ticks") if new else None
        views.append(StageView(entry.status, rate, lag, listening(entry.ports)))
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
