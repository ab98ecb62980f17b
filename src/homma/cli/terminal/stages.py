"""The table of the processes of a data folder: state, CPU, memory, rate and lag."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.table import Table
from rich.text import Text

from homma.cli.scraping import scrape
from homma.stack.processes.process import State, Status
from homma.stack.processes.usage import Usage, usage_of

#: The ports that users connect to, out of all ports of a server.
_PUBLIC_PORTS: Final = {
    "broker": "port",
    "s3": "S3 on port",
    "catalog": "catalog on port",
    "http": "port",
    "page": "page on port",
}
_COLOURS: Final = {
    State.RUNNING: "green",
    State.FAILED: "red",
    State.WAITING: "yellow",
    State.STARTING: "yellow",
}
#: Why an engine does not count a tick, by the counter of such ticks.
_NOT_COUNTED: Final = {
    "homma_ticks_dead_total": "dead letters",
    "homma_ticks_dropped_late_total": "dropped as late",
    "homma_ticks_duplicate_total": "duplicates",
    "homma_ticks_not_applicable_total": "not applicable",
}
_MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """The metrics and the usage of a process at a time in seconds, as far as they are known."""

    at_s: float
    pid: int | None
    metrics: Mapping[str, float] | None
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class StageView:
    """A row of the table; `cpu` is a share of one core."""

    status: Status
    ticks_per_s: float | None
    lag: float | None
    cpu: float | None
    memory_bytes: int | None
    details: str


def take_sample(status: Status, ports: Mapping[str, int]) -> Sample:
    """Sample a process."""
    metrics = scrape(ports["metrics"]) if "metrics" in ports else None
    return Sample(time.monotonic(), status.pid, metrics, usage_of(status.pid, status.created))


def stage_view(status: Status, details: str, before: Sample | None, now: Sample) -> StageView:
    """Return the row of a process from its samples; rates need two of the same process."""
    ticks_per_s = cpu = None
    if before is not None and before.pid == now.pid and now.at_s > before.at_s:
        elapsed_s = now.at_s - before.at_s
        if before.metrics is not None and now.metrics is not None:
            counter = tick_counter(status.name)
            if counter in now.metrics:
                increase = now.metrics[counter] - before.metrics.get(counter, 0)
                ticks_per_s = max(0.0, increase) / elapsed_s
        if before.usage is not None and now.usage is not None:
            cpu = (now.usage.cpu_s - before.usage.cpu_s) / elapsed_s
    lag = total_lag(now.metrics) if now.metrics is not None else None
    memory_bytes = now.usage.memory_bytes if now.usage is not None else None
    return StageView(status, ticks_per_s, lag, cpu, memory_bytes, details)


def describe_ports(ports: Mapping[str, int]) -> str:
    """Describe the ports of a server that users connect to."""
    texts = [f"{text} {ports[name]}" for name, text in _PUBLIC_PORTS.items() if name in ports]
    return ", ".join(texts)


def tick_counter(stage: str) -> str:
    """Return the name of the counter of a stage's ticks."""
    return "homma_ticks_sent_total" if stage == "generate" else "homma_ticks_read_total"


def describe_verification(values: Mapping[str, float], now_s: float) -> str:
    """Describe the last comparison of a verifier; "" if the metrics are not those of one."""
    at_s = values.get("homma_verified_timestamp_seconds")
    if at_s is None:
        return ""
    if not at_s:
        return "not verified yet"
    wrong = values.get("homma_candles_wrong", 0)
    verdict = f"{wrong:,.0f} candles are wrong" if wrong else "no candle is wrong"
    return f"{verdict}, verified {now_s - at_s:,.0f} s ago"


def not_counted(values: Mapping[str, float]) -> list[str]:
    """Describe the ticks that an engine has not counted since it started, by reason."""
    return [f"{values[name]:,.0f} {why}" for name, why in _NOT_COUNTED.items() if values.get(name)]


def describe_ingestion(values: Mapping[str, float]) -> str:
    """Describe what an ingestion has made of records; "" if the metrics are not those of one."""
    forwarded = values.get("homma_ticks_forwarded_total")
    if forwarded is None:
        return ""
    others = {
        "other records": values.get("homma_records_not_ticks_total", 0),
        "dead letters": values.get("homma_ticks_dead_total", 0),
    }
    counts = [f"{count:,.0f} {what}" for what, count in others.items() if count]
    return ", ".join([f"{forwarded:,.0f} ticks", *counts])


def total_lag(values: Mapping[str, float]) -> float | None:
    """Return how many records of all its topics a stage has not yet processed."""
    return values.get("homma_lag_ticks", values.get("homma_lake_lag_records"))


def stage_table(views: list[StageView]) -> Table:
    """Return the stages as a table."""
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "state", "process", "restarts"):
        table.add_column(column)
    for column in ("CPU", "memory", "ticks/s", "lag"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for view in views:
        status = view.status
        table.add_row(
            status.name,
            Text(status.state, style=_COLOURS.get(status.state, "")),
            str(status.pid or ""),
            str(status.restarts or ""),
            "" if view.cpu is None else f"{view.cpu:.0%}",
            "" if view.memory_bytes is None else f"{view.memory_bytes / _MEGABYTE:,.0f} MB",
            "" if view.ticks_per_s is None else f"{view.ticks_per_s:,.0f}",
            "" if view.lag is None else f"{view.lag:,.0f}",
            status.trouble or view.details,
        )
    return table
