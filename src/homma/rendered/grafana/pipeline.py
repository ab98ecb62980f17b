"""The dashboard *Pipeline*: throughput, latency and errors of the stages, from their metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from homma.rendered.grafana import board, charts, queries


@dataclass(frozen=True, slots=True)
class Number:
    """A single number, red from the threshold `bad` on.

    Where the metric does not exist, the panel shows the text `absent` in grey if there is one.
    """

    title: str
    expression: str
    unit: str = "short"
    bad: float | None = None
    absent: str = ""


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
    Number(
        "Wrong candles found by verify", "sum(homma_candles_wrong)", bad=1, absent="not verified"
    ),
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
            ("sum(rate(homma_ticks_not_applicable_total[5m]))", "not applicable"),
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
#: The name of an alert once more in a label of its own, which the table shows as the summary.
ALERTS: Final = 'label_replace(ALERTS{alertname=~"Homma.+"}, "summary", "$1", "alertname", "(.+)")'
#: What each alert of deploy/prometheus says, as Prometheus keeps annotations out of the metric.
SUMMARIES: Final = {
    "HommaStageDown": "A stage is down",
    "HommaNoEngine": "Prometheus has no target of homma aggregate",
    "HommaRestarts": "A stage has restarted more than twice in half an hour",
    "HommaNoTicks": "The engine has read no ticks for ten minutes",
    "HommaLag": "The engine falls behind the ticks",
    "HommaSlowCandles": "1% of candles are committed more than five seconds after their tick",
    "HommaDeadTicks": "More than one tick in a thousand is a dead letter",
    "HommaLateTicks": "Ticks were dropped as late in the last hour",
    "HommaTransactions": "Transactions were not committed",
    "HommaLakeBehind": "A table is behind its topic and has had no commit for 15 minutes",
    "HommaSlowCommits": "1% of lake commits take longer than half a minute",
    "HommaWrongCandles": "Candles differ from those recomputed from the ticks",
    "HommaNotVerified": "Candles have not been verified for two days",
}
#: The labels of an alert, in the order of the columns.
_COLUMNS: Final = (
    "alertname",
    "summary",
    "severity",
    "alertstate",
    "stage",
    "table",
    "outcome",
    "verdict",
)
#: The value of a metric that does not exist; metrics are never negative.
_ABSENT: Final = -1


def dashboard() -> str:
    """The dashboard's JSON."""
    builder = (
        board.new("pipeline", "Pipeline", since="1h", refresh="10s")
        .description("Throughput, latency and errors of homma's stages.")
        .links([board.other_dashboards()])
        .with_variable(queries.source(queries.PROMETHEUS, "Prometheus"))
    )
    for number in NUMBERS:
        builder = builder.with_panel(_number(number))
    builder = builder.with_panel(_alerts())
    for chart in CHARTS:
        builder = builder.with_panel(_chart(chart))
    return board.to_json(builder)


def _number(row: Number) -> stat.Panel:
    steps = [Threshold(color="green")]
    if row.bad is not None:
        steps.append(Threshold(color="red", value=row.bad))
    mapping = ValueMap({str(_ABSENT): ValueMappingResult(text=row.absent, color="#808080")})
    return (
        stat.Panel()
        .title(row.title)
        .datasource(queries.PROMETHEUS)
        .with_target(
            queries.now(f"{row.expression} or vector({_ABSENT})" if row.absent else row.expression)
        )
        .mappings([mapping] if row.absent else [])
        .unit(row.unit)
        .thresholds(build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .span(4)
        .height(4)
    )


def _chart(row: Chart) -> timeseries.Panel:
    panel = (
        charts.lines(row.title, queries.PROMETHEUS)
        .description(row.description)
        .unit(row.unit)
        .min(0)
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
    sentences = {name: ValueMappingResult(text=text) for name, text in SUMMARIES.items()}
    summary = [
        DynamicConfigValue(id_val="mappings", value=[ValueMap(sentences)]),
        DynamicConfigValue(id_val="custom.width", value=480),
    ]
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
        .override_by_name("summary", summary)
        .no_value("none")
        .span(24)
        .height(6)
    )
