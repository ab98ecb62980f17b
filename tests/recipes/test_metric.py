"""The recipe for a metric: a gauge of `homma generate`, which is served on /metrics."""

import re
import subprocess
import sys

import httpx

from tests.recipes.recipe import creating, follow, replacing
from tests.support.homma_copy import HommaCopy
from tests.support.pipeline import Pipeline
from tests.support.waiting import free_ports, until

ROW = '    Metric("homma_ticks_unacknowledged", "gauge", "ticks not yet acknowledged by Kafka"),\n'
NEW_ROW = '    Metric("homma_send_rate", "gauge", "ticks sent per second"),\n'
SET = '        metrics.set("homma_ticks_unacknowledged", progress.unacknowledged)\n'
NEW_SET = '        metrics.set("homma_send_rate", progress.rate_per_s)\n'
TEST = '''\
"""The metrics of `homma generate` and `homma replay`."""

from homma.cli import sending
from homma.feed.job import SendProgress
from homma.metrics import FEED, Metrics


def test_the_rate_is_a_metric() -> None:
    metrics = Metrics(FEED)
    sending._with_metrics(metrics, lambda _: None)(SendProgress(10, None, 0, 5.0))
    assert metrics.registry.get_sample_value("homma_send_rate") == 5.0
'''
EDITS = {
    "src/homma/metrics.py": replacing((ROW, ROW + NEW_ROW)),
    "src/homma/cli/sending.py": replacing((SET, SET + NEW_SET)),
    "tests/cli/test_sending.py": creating(TEST),
}


def test_the_rate_at_which_ticks_are_sent(project: HommaCopy, bootstrap: str) -> None:
    follow(project, "Add a metric", EDITS, module="cli/sending", test="cli/test_sending")
    project.passes("tests/cli/test_sending.py")
    page = (project.root / "docs" / "reference" / "metrics.md").read_text("utf-8")
    assert "| `homma_send_rate` | gauge |  | ticks sent per second |" in page
    assert rate(project, bootstrap) > 0


def rate(project: HommaCopy, bootstrap: str) -> float:
    """The metric's value on /metrics while `homma generate` runs."""
    [port] = free_ports(1)
    pipeline = Pipeline(bootstrap)
    words = ("generate", "--bootstrap.servers", bootstrap, "--metrics-port", str(port))
    names = ("--topic", pipeline.topics.ticks, "--candle-topic", pipeline.name + "_{name}")
    process = subprocess.Popen(
        [sys.executable, "-m", "homma", *words, *names],
        env=project.environment,
        cwd=project.root,
        stderr=subprocess.DEVNULL,
    )
    try:
        return float(until(lambda: sample(port, "homma_send_rate")) or 0)
    finally:
        process.terminate()
        process.wait(60)


def sample(port: int, name: str) -> str | None:
    """A metric that is above 0; None until it is there."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:
        return None
    found = re.search(rf"^{name} ([1-9].*)$", text, re.MULTILINE)
    return found[1] if found else None
