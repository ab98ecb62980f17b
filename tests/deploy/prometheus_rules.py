"""Prometheus's rules, and the metrics that queries use."""

import re
from pathlib import Path
from typing import Any

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
