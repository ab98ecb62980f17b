"""What `generate` and `replay` share: send ticks, show the progress, print the result."""

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

#: Without a terminal, the progress is logged this often.
_LOG_EVERY_S: Final = 10.0

ReportProgress = Callable[[job.SendProgress], None]


def send(
    connection: Connection,
    topics: TopicSettings,
    metrics: MetricsSettings,
    source: TickSource,
    limit: int,
    *,
    as_json: bool,
    extra: Callable[[], dict[str, Any]] = dict,
) -> None:
    """Create the topics, send until the end, the limit or Ctrl-C, and print the result.

    `extra` is called at the end and returns further values of the result.
    """
    created = job.prepare(Admin(connection), topics)
    if created:
        log.info("created topics %s", ", ".join(created))
    feed_metrics = Metrics(FEED)
    feed_metrics.serve(metrics.metrics_host, metrics.metrics_port)
    stop, start_s = stop_on_signals(), time.monotonic()
    with _progress_display() as show:
        last = job.run(
            source,
            Sender(connection),
            topics.topic,
            limit=limit,
            stop=stop,
            now_us=lambda: time.time_ns() // 1_000,
            sleep=time.sleep,
            on_progress=_with_metrics(feed_metrics, show),
        )
    seconds = time.monotonic() - start_s
    result = {"topic": topics.topic, "sent": last.sent, "seconds": round(seconds, 3), **extra()}
    if as_json:
        click.echo(json.dumps(result))
        return
    extra_text = "".join(f", {name.replace('_', ' ')} {value}" for name, value in extra().items())
    rate = last.sent / seconds if seconds else 0.0
    pace = f"{seconds:,.1f} s ({rate:,.0f} ticks/s)"
    click.echo(f"sent {last.sent:,} ticks to {topics.topic} in {pace}{extra_text}", err=True)


def _with_metrics(metrics: Metrics, show: ReportProgress) -> ReportProgress:
    """Report the progress to the metrics and the display."""
    sent = 0

    def report(progress: job.SendProgress) -> None:
        nonlocal sent
        metrics.count("homma_ticks_sent", progress.sent - sent)
        sent = progress.sent
        metrics.set("homma_ticks_unacknowledged", progress.unacknowledged)
        show(progress)

    return report


def _progress_display() -> AbstractContextManager[ReportProgress]:
    """Show a progress bar on a terminal, or else log lines."""
    return _Bar() if sys.stderr.isatty() else nullcontext(log_progress(time.monotonic))


def log_progress(clock_s: Callable[[], float]) -> ReportProgress:
    """Log the progress from time to time."""
    logged_s = clock_s()

    def report(progress: job.SendProgress) -> None:
        nonlocal logged_s
        if clock_s() - logged_s < _LOG_EVERY_S:
            return
        logged_s = clock_s()
        total = f" of {progress.total:,}" if progress.total is not None else ""
        log.info(
            "sent %s%s ticks, %s ticks/s",
            f"{progress.sent:,}",
            total,
            f"{progress.rate_per_s:,.0f}",
        )

    return report


class _Bar:
    """A progress bar on stderr, with the remaining time if the total is known."""

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

    def __enter__(self) -> ReportProgress:
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
