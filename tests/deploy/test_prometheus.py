"""Prometheus's rules: they use existing metrics, and every alert is documented and tested."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.deploy.prometheus_rules import FOLDER, ROOT, known_metrics, metrics_in, rules


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
