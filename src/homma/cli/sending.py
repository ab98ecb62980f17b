"""What `generate` and `replay` have in common: send, show how far it is, say what was sent."""

import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from homma.cli.signals import stop_on_signals
from homma.feed import job
from homma.feed.source import TickSource
from homma.metrics import FEED, Metrics
from homma.settings import MetricsSettings, TopicSettings
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.writing import Sender

log = logging.getLogger("homma.feed")

#: Without a terminal, a line is logged this often.
_LINE_S: Final = 10.0

Report = Callable[[job.SendProgress], None]


def send(
    kafka: Connection,
    topics: TopicSettings,
    metrics: MetricsSettings,
    source: TickSource,
    limit: int,
    *,
    as_json: bool,
    extra: Callable[[], dict[str, Any]] = dict,
) -> None:
    """Make the topics, send until the end, the limit or Ctrl-C, and say what was sent.

    `extra` is asked at the end for what else there is to say.
    """
    made = job.prepare(Admin(kafka), topics)
    if made:
        log.info("made the topics %s", ", ".join(made))
    measured = Metrics(FEED)
    measured.serve(metrics.metrics_host, metrics.metrics_port)
    stop, began_s = stop_on_signals(), time.monotonic()
    with _shown() as show:
        last = job.run(
            source,
            Sender(kafka),
            topics.topic,
            limit=limit,
            stop=stop,
            now_us=lambda: time.time_ns() // 1_000,
            sleep=time.sleep,
            on_progress=_measured(measured, show),
        )
    seconds = time.monotonic() - began_s
    said = {"topic": topics.topic, "sent": last.sent, "seconds": round(seconds, 3), **extra()}
    if as_json:
        click.echo(json.dumps(said))
        return
    more = "".join(f", {name.replace('_', ' ')} {value}" for name, value in extra().items())
    rate = last.sent / seconds if seconds else 0.0
    took = f"{seconds:,.1f} s, {rate:,.0f} a second"
    click.echo(f"sent {last.sent:,} ticks to {topics.topic} in {took}{more}", err=True)


def _measured(metrics: Metrics, show: Report) -> Report:
    """Both the metrics and the display are told."""
    counted = 0

    def report(progress: job.SendProgress) -> None:
        nonlocal counted
        metrics.count("homma_ticks_sent", progress.sent - counted)
        counted = progress.sent
        metrics.show("homma_ticks_unacknowledged", progress.unacknowledged)
        show(progress)

    return report


def _shown() -> AbstractContextManager[Report]:
    """A bar on a terminal, else lines in the log."""
    return _Bar() if sys.stderr.isatty() else nullcontext(lines(time.monotonic))


def lines(clock_s: Callable[[], float]) -> Report:
    """Log how far it is, now and then."""
    told_s = clock_s()

    def report(progress: job.SendProgress) -> None:
        nonlocal told_s
        if clock_s() - told_s < _LINE_S:
            return
        told_s = clock_s()
        of = f" of {progress.total:,}" if progress.total is not None else ""
        log.info(
            "sent %s%s ticks, %s a second", f"{progress.sent:,}", of, f"{progress.rate_per_s:,.0f}"
        )

    return report


class _Bar:
    """A progress bar on stderr; where there is an end, with the time left."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} ticks/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Report:
        self._task = self._progress.add_task("", total=None, rate=0.0)
        self._progress.start()
        return self._report

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _report(self, progress: job.SendProgress) -> None:
        assert self._task is not None
        self._progress.update(
            self._task, completed=progress.sent, total=progress.total, rate=progress.rate_per_s
        )
