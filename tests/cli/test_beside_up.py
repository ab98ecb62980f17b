"""Commands beside a `homma up` with ports, topics, group and price of its own, by `--dir` alone."""

import json
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.waiting import until

TICK = {
    "source": "S",
    "symbol": "AAA",
    "ask": 2.0,
    "bid": 1.0,
    "mid": 1.5,
    "number": 1,
    "dateTime": "2025-03-20T14:31:28.000",
}


@pytest.fixture
def beside(machine: Machine) -> Machine:
    """A machine on which an unusual `homma up` runs; its commands know only the folder."""
    usual = dict(machine.env)
    # The engine's settings are no flags of `homma up`.
    machine.env |= {"HOMMA_GROUP": "mine", "HOMMA_PRICE": "bid"}
    topics = ("--topic", "quotes", "--candle-topic", "bars_{name}", "--intervals", "s1,m1,M1")
    up = machine.homma("up", "--detach", *topics)
    assert up.returncode == 0, up.stderr
    until(machine.has_flow)
    machine.env = usual
    return machine


def succeed(machine: Machine, *words: str) -> str:
    result = machine.homma(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_commands_find_the_ports_topics_group_and_price(beside: Machine, tmp_path: Path) -> None:
    assert json.loads(succeed(beside, "tail", "s1", "--once", "--json").splitlines()[0])
    until(lambda: beside.homma("candles", "s1", "--json").stdout)
    assert json.loads(succeed(beside, "ticks", "--last", "1", "--json").splitlines()[0])
    file = tmp_path / "ticks.ndjson"
    file.write_text(json.dumps(TICK) + "\n")
    assert json.loads(succeed(beside, "replay", str(file), "--json"))["topic"] == "quotes"
    kafka = [row for row in json.loads(succeed(beside, "doctor", "--json")) if "opic" in str(row)]
    assert all(row["status"] == "ok" for row in kafka if row["check"] != "Kafka"), kafka

    report = json.loads(succeed(beside, "verify", "--json"))
    assert report["wrong"] == 0
    assert set(report["topics"]) == {"1sec", "1min", "1month"}
    assert "no candle is wrong" in succeed(beside, "repair", "--dry-run")

    refused = beside.homma("verify", "--price", "mid")
    assert refused.returncode == 1
    assert "built from bid, but --price is mid" in refused.stderr

    assert all(stage["memoryBytes"] > 0 <= stage["cpu"] for stage in beside.stages().values())
