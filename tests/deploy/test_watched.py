"""Prometheus next to a real pipeline: all stages are found and have the metrics of all queries."""

import re
from typing import Any

import pytest

from tests.deploy.conftest import Prometheus
from tests.deploy.prometheus_rules import rules
from tests.support.dashboards import PanelQuery, panel_queries
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
Monitored = tuple[Machine, Prometheus]
STAGES = ("aggregate", "land", "serve", "generate")


def test_every_stage_is_found_and_up(monitored: Monitored) -> None:
    _, prometheus = monitored

    def all_up() -> bool:
        targets: list[dict[str, Any]] = (prometheus.get("targets") or {}).get("activeTargets", [])
        states = {row["labels"]["stage"]: row["health"] for row in targets}
        return states == dict.fromkeys((*STAGES, "verify"), "up")

    until(all_up)


def test_every_rule_is_evaluated_and_records_values(monitored: Monitored) -> None:
    _, prometheus = monitored

    def evaluated() -> bool:
        groups = (prometheus.get("rules") or {}).get("groups", [])
        evaluated_rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["health"] for rule in evaluated_rules} <= {"ok", "unknown"}
        return bool(evaluated_rules) and {rule["health"] for rule in evaluated_rules} == {"ok"}

    until(evaluated)
    for rule in rules("rules.yml"):
        until(lambda name=rule["record"]: prometheus.values(name))  # type: ignore[misc]
    [(_, ticks_per_s)] = prometheus.values("homma:ticks_read:rate1m")
    assert ticks_per_s > 0
    [(_, latency_s)] = prometheus.values("homma:tick_to_candle_seconds:p99_1m")
    assert 0 < latency_s <= 60


def test_the_verifier_reports_no_wrong_candles(monitored: Monitored) -> None:
    _, prometheus = monitored
    samples = until(lambda: prometheus.values("homma_candles_wrong"))
    sides = {(labels["side"], labels["verdict"]): value for labels, value in samples}
    verdicts = ("missing", "extra", "different")
    assert sides == {(side, verdict): 0 for side in ("tables", "topics") for verdict in verdicts}
    until(lambda: any(ticks > 0 for _, ticks in prometheus.values("homma_ticks_compared")))


PANELS = [panel for panel in panel_queries("pipeline") if "ALERTS" not in panel.query]


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: f"{p.title}-{p.ref}")
def test_a_panel_has_data(monitored: Monitored, panel: PanelQuery) -> None:
    _, prometheus = monitored
    samples = until(lambda: prometheus.values(panel.query))
    for name in re.findall(r"\{\{(\w+)\}\}", panel.target["legendFormat"]):
        assert all(name in labels for labels, _ in samples)


def test_a_stopped_stage_raises_an_alert(monitored: Monitored) -> None:
    machine, prometheus = monitored
    machine.homma("down")
    until(lambda: len(prometheus.values('up{stage!="verify"} == 0')) == len(STAGES))
    [alerts] = [panel.query for panel in panel_queries("pipeline") if "ALERTS" in panel.query]
    until(lambda: len(prometheus.values(alerts)) >= len(STAGES))
    stages = {labels.get("stage") for labels, _ in prometheus.values(alerts)}
    assert stages >= set(STAGES)
