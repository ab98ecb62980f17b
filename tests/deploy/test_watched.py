"""Prometheus beside a real pipeline: all stages are found, and what is asked of them is there."""

import re
from typing import Any

import pytest

from tests.cli.machine import Machine
from tests.deploy.conftest import Prometheus
from tests.deploy.dashboards import Asked, asked
from tests.deploy.test_prometheus import rules
from tests.stack.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
Watched = tuple[Machine, Prometheus]
STAGES = ("aggregate", "land", "serve", "generate")


def test_every_stage_is_found_and_answers(watched: Watched) -> None:
    _, prometheus = watched

    def answering() -> bool:
        found: list[dict[str, Any]] = (prometheus.ask("targets") or {}).get("activeTargets", [])
        states = {row["labels"]["stage"]: row["health"] for row in found}
        return states == dict.fromkeys((*STAGES, "verify"), "up")

    until(answering)


def test_every_rule_is_evaluated_and_gives_what_it_records(watched: Watched) -> None:
    _, prometheus = watched

    def evaluated() -> bool:
        groups = (prometheus.ask("rules") or {}).get("groups", [])
        found = [rule for group in groups for rule in group["rules"]]
        assert {rule["health"] for rule in found} <= {"ok", "unknown"}, found
        return bool(found) and {rule["health"] for rule in found} == {"ok"}

    until(evaluated)
    for rule in rules("rules.yml"):
        until(lambda name=rule["record"]: prometheus.values(name))  # type: ignore[misc]
    [(_, ticks_per_s)] = prometheus.values("homma:ticks_read:rate1m")
    assert ticks_per_s > 0
    [(_, latency_s)] = prometheus.values("homma:tick_to_candle_seconds:p99_1m")
    assert 0 < latency_s <= 60


def test_that_candles_are_right_is_among_the_metrics(watched: Watched) -> None:
    _, prometheus = watched
    found = until(lambda: prometheus.values("homma_candles_wrong"))
    sides = {(labels["side"], labels["verdict"]): value for labels, value in found}
    verdicts = ("missing", "extra", "different")
    assert sides == {(side, one): 0 for side in ("tables", "topics") for one in verdicts}
    until(lambda: any(ticks > 0 for _, ticks in prometheus.values("homma_ticks_compared")))


PANELS = [one for one in asked("pipeline") if "ALERTS" not in one.query]


@pytest.mark.parametrize("panel", PANELS, ids=lambda one: f"{one.title}-{one.ref}")
def test_a_panel_has_something_to_show(watched: Watched, panel: Asked) -> None:
    _, prometheus = watched
    found = until(lambda: prometheus.values(panel.query))
    for name in re.findall(r"\{\{(\w+)\}\}", panel.target["legendFormat"]):
        assert all(name in labels for labels, _ in found)


def test_a_stage_that_is_gone_is_told(watched: Watched) -> None:
    machine, prometheus = watched
    machine.homma("down")
    until(lambda: len(prometheus.values('up{stage!="verify"} == 0')) == len(STAGES))
    [alerts] = [one.query for one in asked("pipeline") if "ALERTS" in one.query]
    until(lambda: len(prometheus.values(alerts)) >= len(STAGES))
    found = {labels.get("stage") for labels, _ in prometheus.values(alerts)}
    assert found >= set(STAGES)
