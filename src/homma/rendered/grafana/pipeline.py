"""The dashboard *Pipeline*: throughput, latency and errors of the stages, from their metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models.common import SortOrder, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
)

from homma.rendered.grafana import queries


@dataclass(frozen=True, slots=True)
class Number:
    """A single number, red from the threshold `bad` on."""

    title: str
    expression: str
    unit: str = "short"
    bad: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over time: pairs of an expression and the legend of its lines."""

    title: str
    lines: Sequence[tuple[str, str]]
    unit: str = "short"
    description: str = ""


_RATE: Final = "cps"
NUMBERS: Final = (
    Number("Stages down", 'count(up{job="homma"} == 0) or vector(0)', bad=1),
    Number("Ticks read per second", "homma:ticks_read:rate1m", _RATE),
    Number("Lag in ticks", "homma:lag_ticks", bad=10_000),
    Number("Tick to candle, p99", "homma:tick_to_candle_seconds:p99_1m", "s", 5),
    Number(
        "Dead or dropped ticks, last hour",
        "sum(increase(homma_ticks_dead_total[1h]))"
        " + sum(increase(homma_ticks_dropped_late_total[1h]))",
        bad=1,
    ),
    Number("Wrong candles found by verify", "sum(homma_candles_wrong)", bad=1),
)
CHARTS: Final = (
    Chart(
        "Ticks per second",
        (
            ("sum(rate(homma_ticks_sent_total[1m]))", "sent"),
            ("homma:ticks_read:rate1m", "read"),
            ("sum(rate(homma_ticks_landed_total[5m]))", "landed"),
        ),
        _RATE,
    ),
    Chart("Candles written per second", (("homma:candles_written:rate1m", "{{interval}}"),), _RATE),
    Chart(
        "Lag in ticks",
        (("sum by (partition) (homma_lag_ticks)", "partition {{partition}}"),),
    ),
    Chart(
        "Tick to candle",
        (
            ("homma:tick_to_candle_seconds:p50_1m", "p50"),
            ("homma:tick_to_candle_seconds:p99_1m", "p99"),
        ),
        "s",
        "Time from a tick's timestamp in Kafka until its candles are committed.",
    ),
    Chart(
        "Ticks not counted in candles",
        (
            ("sum(rate(homma_ticks_dead_total[5m]))", "dead letter"),
            ("sum(rate(homma_ticks_dropped_late_total[5m]))", "dropped as late"),
            ("sum(rate(homma_ticks_duplicate_total[5m]))", "duplicate"),
        ),
        _RATE,
    ),
    Chart(
        "Transactions per second",
        (("sum by (outcome) (rate(homma_transactions_total[1m]))", "{{outcome}}"),),
        _RATE,
    ),
    Chart("Transaction time, p99", (("homma:transaction_seconds:p99_5m", "seconds"),), "s"),
    Chart("Lake lag in records", (("homma:lake_lag_records", "{{table}}"),)),
    Chart(
        "Lake commit time, p99",
        (("homma:lake_commit_seconds:p99_5m", "seconds"),),
        "s",
    ),
    Chart(
        "Lake commits per minute",
        (("60 * sum by (outcome) (rate(homma_lake_commits_total[5m]))", "{{outcome}}"),),
    ),
    Chart("Files in the lake", (("sum by (table) (homma_lake_files)", "{{table}}"),)),
    Chart(
        "Restarts in the last hour",
        (('changes(process_start_time_seconds{job="homma"}[1h])', "{{stage}}"),),
    ),
    Chart(
        "Memory",
        (('process_resident_memory_bytes{job="homma"}', "{{stage}}"),),
        "bytes",
    ),
    Chart(
        "CPU cores",
        (('rate(process_cpu_seconds_total{job="homma"}[1m])', "{{stage}}"),),
    ),
)
ALERTS: Final = 'ALERTS{alertname=~"Homma.+"}'
#: The labels of an alert, in the order of the columns.
_COLUMNS: Final = ("alertname", "severity", "alertstate", "stage", "table", "outcome", "verdict")


def dashboard() -> str:
    """The dashboard's JSON."""
    board = (
        build.Dashboard("Pipeline")
        .uid("homma-pipeline")
        .description("Throughput, latency and errors of homma's stages.")
        .tags(["homma"])
        .timezone("utc")
        .week_start("monday")
        .time("now-1h", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(queries.source(queries.PROMETHEUS, "Prometheus"))
    )
    for number in NUMBERS:
        board = board.with_panel(_number(number))
    board = board.with_panel(_alerts())
    for chart in CHARTS:
        board = board.with_panel(_chart(chart))
    return queries.to_json(board)


def _number(row: Number) -> stat.Panel:
    steps = [Threshold(color="green")]
    if row.bad is not None:
        steps.append(Threshold(color="red", value=row.bad))
    return (
        stat.Panel()
        .title(row.title)
        .datasource(queries.PROMETHEUS)
        .with_target(queries.now(row.expression))
        .unit(row.unit)
        .thresholds(build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .span(4)
        .height(4)
    )


def _chart(row: Chart) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(row.title)
        .description(row.description)
        .datasource(queries.PROMETHEUS)
        .unit(row.unit)
        .min(0)
        .tooltip(
            parts.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .span(8)
        .height(8)
    )
    for index, (expression, legend) in enumerate(row.lines):
        panel = panel.with_target(queries.lines(expression, legend, chr(ord("A") + index)))
    return panel


def _alerts() -> tables.Panel:
    """The alerts of deploy/prometheus that are pending or firing."""
    order = {name: index for index, name in enumerate(_COLUMNS)}
    hidden = dict.fromkeys(("Time", "Value", "__name__", "job", "instance"), True)
    return (
        tables.Panel()
        .title("Alerts")
        .description("docs/operations.md says what to do on each alert.")
        .datasource(queries.PROMETHEUS)
        .with_target(queries.now(ALERTS, shape="table"))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={"excludeByName": hidden, "indexByName": order, "renameByName": {}},
            )
        )
        .no_value("none")
        .span(24)
        .height(6)
    )
