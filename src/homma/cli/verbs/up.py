"""`homma up`: run the whole pipeline on this machine, with a live view."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from homma.cli import local
from homma.cli.discovery import continued
from homma.cli.options import is_given, settings_without_flags, with_settings
from homma.cli.required_feeds import require_feeds
from homma.cli.signals import stop_on_signals
from homma.cli.stage_programs import feeds_of, require_applicable
from homma.cli.terminal import overview
from homma.errors import StackError
from homma.settings import (
    AggregateSettings,
    EngineSettings,
    GenerateSettings,
    PriceSettings,
    TopicSettings,
    UpSettings,
)
from homma.stack.processes.folder import owner_of
from homma.stack.processes.process import State
from homma.stack.processes.record import read_record

log = logging.getLogger("homma.up")

_REFRESH_S: Final = 1.0
_LOG_EVERY_S: Final = 10.0
#: Trino downloads 821 MB the first time, and takes minutes to start on a busy machine.
_DETACH_TIMEOUT_S: Final = 1200.0


@click.command()
@with_settings(UpSettings, TopicSettings, PriceSettings, GenerateSettings)
@click.option("--detach", is_flag=True, help="run in the background; `homma down` stops it")
@click.option(
    "--with",
    "extras",
    multiple=True,
    type=click.Choice([local.TRINO]),
    help="also start Trino on the lake; the first time, this downloads 821 MB",
)
@click.pass_context
def up(
    context: click.Context,
    settings: UpSettings,
    topics: TopicSettings,
    prices: PriceSettings,
    ticks: GenerateSettings,
    detach: bool,
    extras: tuple[str, ...],
) -> None:
    """Run the whole pipeline on this machine.

    This starts Kafka, the lake, the engine, the page and a source of ticks, and shows their status.
    Ctrl-C stops everything in order. The next start continues where this one stopped. A new data
    folder first gets synthetic history, so that charts of all intervals are full from the start.

    \b
    Example:
      homma up --rate 1000
      homma up --kind trades --price trade
      homma up --history 0
      homma up --ingest oanda=oanda_prices
      homma up --no-generate --dir /data/homma --kafka-port 19092
      homma up --with trino
      homma up --detach && homma status && homma down
    """
    settings, prices, ticks = _continued(settings, prices, ticks)
    require_applicable(settings, ticks, prices.price)
    settings = _without_foreign_history(settings)
    foreign_topics = require_feeds(feeds_of(settings), prices.price)
    if detach:
        _start_detached(settings.dir, {"kafka", "aggregate", *extras})
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    console = Console(stderr=True)
    config: Path | None = context.parent.params["config"] if context.parent else None
    engine = replace(
        settings_without_flags(AggregateSettings, "aggregate"),
        price=prices.price,
        prices=prices.prices,
    )
    with _Downloads(console) as downloads:
        pipeline = local.running(
            settings,
            topics,
            ticks,
            engine,
            extras,
            foreign_topics,
            config,
            downloads.show,
            downloads.say,
        )
        try:
            running = pipeline.__enter__()
        except KeyboardInterrupt:
            downloads.say("stopped; `homma up` starts again from here")
            raise
    try:
        _watch(console, settings, topics, running)
        log.info("stopping")
    finally:
        pipeline.__exit__(None, None, None)
    log.info("stopped; `homma up` continues from here")


def _continued(
    up: UpSettings, prices: PriceSettings, ticks: GenerateSettings
) -> tuple[UpSettings, PriceSettings, GenerateSettings]:
    """What candles are made of, and where ticks come from, stays as it was in the last start."""
    last = continued(up.dir, is_given)
    if last.get("ingest"):
        log.info(
            "the feeds %s are ingested, as in the last start of %s; HOMMA_INGEST= stops that",
            last["ingest"],
            up.dir,
        )
    elif last.get("no_generate"):
        log.info(
            "no ticks are generated, as in the last start of %s; HOMMA_NO_GENERATE=false generates "
            "them again",
            up.dir,
        )
    return (
        replace(up, **_only(last, "ingest", "no_generate")),
        replace(prices, **_only(last, "price", "prices")),
        replace(ticks, **_only(last, "kind")),
    )


def _only(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _without_foreign_history(settings: UpSettings) -> UpSettings:
    """History is continued by homma's own engine only, which reads the tick topic itself."""
    is_flink = settings_without_flags(EngineSettings, "aggregate").engine == "flink"
    is_rekeyed = settings_without_flags(AggregateSettings, "aggregate").rekey
    return replace(settings, history=timedelta(0)) if is_flink or is_rekeyed else settings


def _watch(
    console: Console, settings: UpSettings, topics: TopicSettings, running: local.RunningPipeline
) -> None:
    stopped = stop_on_signals()
    view = overview.Overview(running, topics)
    try:
        if not console.is_terminal:
            _log_lines(view, stopped)
            return
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while not stopped():
                live.update(view.table(settings.dir), refresh=True)
                time.sleep(_REFRESH_S)
    finally:
        view.close()


def _log_lines(view: overview.Overview, stopped: overview.Stopped) -> None:
    next_s = time.monotonic()
    while not stopped():
        if time.monotonic() >= next_s:
            log.info("%s", view.line())
            next_s += _LOG_EVERY_S
        time.sleep(0.1)


class _Downloads:
    """A progress bar of downloads on a terminal, which ends with the first line of the log."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        self._is_shown = console.is_terminal
        self._task = self._bar.add_task("downloading", total=None, visible=False)

    def __enter__(self) -> Self:
        if self._is_shown:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def show(self, name: str, done: int, total: int) -> None:
        """Show how many bytes are downloaded."""
        text = f"downloading {name}"
        self._bar.update(self._task, description=text, completed=done, total=total, visible=True)

    def say(self, line: str) -> None:
        """Log a line."""
        self._end()
        log.info("%s", line)

    def _end(self) -> None:
        # In a file, the end of the bar would be an empty line.
        if self._is_shown:
            self._bar.stop()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the start; a second signal does so without waiting."""
    del frame
    signal.signal(number, signal.default_int_handler)
    log.info("stopping before all programs are ready")
    raise KeyboardInterrupt


def _start_detached(home: Path, needed: Collection[str]) -> None:
    """Run the same command without --detach in a new session, and wait until it is ready."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "up.log"
    argv = [sys.executable, "-m", "homma", *(a for a in sys.argv[1:] if a != "--detach")]
    with path.open("ab") as out:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    until_s = time.monotonic() + _DETACH_TIMEOUT_S
    while time.monotonic() < until_s:
        if child.poll() is not None:
            raise StackError(_last_line(path) or "homma up exited", f"see {path}")
        owner = owner_of(home)
        # Until the process owns the folder, the statuses in it are those of an earlier run.
        is_owner = owner is not None and owner.pid == child.pid
        if is_owner and _all_run(home, needed):
            click.echo(f"homma runs in the background as process {child.pid}; see `homma status`")
            return
        failed = _failed(home) if is_owner else ""
        if failed:
            child.terminate()
            child.wait()
            log_file = home / f"{failed}.log"
            raise StackError(f"{failed} failed: {_last_line(log_file)}", f"see {log_file}")
        time.sleep(0.2)
    raise StackError(f"homma up is not ready after {_DETACH_TIMEOUT_S:g} s", f"see {path}")


def _failed(home: Path) -> str:
    """The name of a program that is not started again; "" if there is none."""
    statuses = [entry.status for entry in read_record(home).entries]
    return next((status.name for status in statuses if status.state is State.FAILED), "")


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("homma: ") if lines else ""


def _all_run(home: Path, needed: Collection[str]) -> bool:
    entries = read_record(home).entries
    names = {entry.status.name for entry in entries if entry.status.state is State.RUNNING}
    return set(needed) <= names and len(names) == len(entries)
