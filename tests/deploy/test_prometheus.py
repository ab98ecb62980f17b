"""Prometheus's rules: they use existing metrics, and every alert is documented and tested."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from homma.metrics import STAGES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
#: Metrics of Prometheus and of any process.
BUILT_IN = {
    "up",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "bulk histogram": ("_bucket", "_sum", "_count"),
}


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / name).read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known_metrics() -> set[str]:
    """Every metric name that a query may use."""
    rows = [row for stage in STAGES.values() for row in stage]
    ours = {row.name + suffix for row in rows for suffix in SUFFIXES[row.kind]}
    return ours | BUILT_IN | {rule["record"] for rule in rules("rules.yml")}


def metrics_in(expression: str) -> set[str]:
    """The metric names in a query."""
    outside = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on)\s*\([^)]*\)", "", expression)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", outside)
    return {word for word in words if word == "up" or "homma" in word or "process_" in word}


@pytest.mark.parametrize("rule", [*rules("rules.yml"), *rules("alerts.yml")], ids=str)
def test_a_rule_uses_existing_metrics(rule: dict[str, Any]) -> None:
    assert metrics_in(rule["expr"])
    assert metrics_in(rule["expr"]) <= known_metrics()


def test_every_alert_is_documented_with_actions() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    sections = re.findall(r"^### (Homma\w+)\n\n(.+?)(?=\n#|\Z)", page, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in sections] == [rule["alert"] for rule in rules("alerts.yml")]
    assert all("`" in text or "](" in text for _, text in sections)


def test_every_alert_is_tested() -> None:
    text = (ROOT / "tests" / "deploy" / "alerts.yml").read_text("utf-8")
    cases = [case for test in yaml.safe_load(text)["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules("alerts.yml")}
    assert {case["alertname"] for case in cases if "exp_alerts" in case} == names
    assert {case["alertname"] for case in cases if "exp_alerts" not in case} == names


@pytest.mark.stack
def test_prometheus_takes_the_files_and_the_alerts_fire_where_they_should() -> None:
    tool = shutil.which("promtool")
    assert tool, "no promtool: apt install prometheus"
    for words in (
        ["check", "config", str(FOLDER / "prometheus.yml")],
        ["test", "rules", str(ROOT / "tests" / "deploy" / "alerts.yml")],
    ):
        done = subprocess.run([tool, *words], text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "FAILED" not in done.stdout
