"""`homma up` as a person has it: started, looked at, stopped, started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import Reader
from tests.stack.waiting import free_ports, until

Homma = Callable[..., subprocess.Popen[str]]


class Machine:
    """A folder and ports of a test's own."""

    def __init__(self, home: Path, cache: Path) -> None:
        self.home = home
        broker, controller, aggregate, generate = free_ports(4)
        self.bootstrap = f"127.0.0.1:{broker}"
        self.place = ["--dir", str(home)]
        self.flags = [
            *self.place, "--cache", str(cache), "--kafka-port", str(broker),
            "--kafka-controller-port", str(controller), "--aggregate-metrics-port", str(aggregate),
            "--generate-metrics-port", str(generate), "--rate", "200",
        ]  # fmt: skip
        self.started: list[subprocess.Popen[str]] = []

    def up(self, *flags: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "homma", "up", *self.flags, *flags]
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def homma(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "homma", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)

    def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.homma("status", *self.place, "--json").stdout)
        return found

    def lives(self) -> bool:
        stages = self.status().get("stages", [])
        assert isinstance(stages, list)
        # Kafka, the engine and the generator.
        return len(stages) == 3 and all((s["ticksPerSecond"] or 0) > 0 for s in stages[1:])

    def candles(self, topic: str) -> int:
        reader = Reader({"bootstrap.servers": self.bootstrap})
        try:
            return sum(reader.kept(topic, p).end for p in range(4))
        finally:
            reader.close()

    def processes(self) -> list[psutil.Process]:
        """All that was started for the folder, guards and servers too."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if process.pid != os.getpid() and any(
                str(self.home) in w or self.bootstrap in w for w in words
            ):
                found.append(process)
        return found


@pytest.fixture
def machine(tmp_path: Path, jars: list[Path]) -> Iterator[Machine]:
    # The jars' fixture has filled this cache: <cache>/jars/org/apache/...
    cache = next(p for p in jars[0].parents if p.name == "jars").parent
    machine = Machine(tmp_path / "home", cache)
    yield machine
    for process in machine.started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    machine.homma("down", *machine.place)


def test_up_makes_candles_stops_in_order_and_goes_on(machine: Machine) -> None:
    process = machine.up()
    until(machine.lives)
    until(lambda: machine.candles("candle_1month") > 0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped" in said
    assert machine.processes() == []

    process = machine.up()
    until(machine.lives)
    before = machine.candles("candle_1month")
    assert before > 0
    until(lambda: machine.candles("candle_1month") > before)
    names = set(Admin({"bootstrap.servers": machine.bootstrap}).partitions())
    assert {"stock_ticks", "stock_ticks_dead", "stock_ticks_late", "candle_1min"} <= names


def test_nothing_is_left_when_up_is_killed(machine: Machine) -> None:
    process = machine.up()
    until(machine.lives)
    assert len(machine.processes()) >= 4
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not machine.processes())


def test_a_crashed_stage_is_restarted_and_shown(machine: Machine) -> None:
    machine.up()
    until(machine.lives)
    stages = machine.status()["stages"]
    assert isinstance(stages, list)
    psutil.Process(stages[1]["pid"]).kill()

    def restarted() -> bool:
        now = machine.status()["stages"]
        assert isinstance(now, list)
        return bool(now[1]["restarts"] == 1 and now[1]["state"] == "running")

    until(restarted)
    until(machine.lives)


def test_in_the_background_until_down(machine: Machine) -> None:
    started = machine.homma("up", *machine.flags, "--detach")
    assert started.returncode == 0, started.stderr
    assert "homma status" in started.stdout
    second = machine.homma("up", *machine.flags)
    assert second.returncode == 1
    assert "homma down" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    stopped = machine.homma("down", *machine.place)
    assert stopped.returncode == 0
    assert "stopped process" in stopped.stdout
    assert machine.processes() == []
    assert machine.homma("status", *machine.place).returncode == 1
    assert "nothing runs" in machine.homma("down", *machine.place).stdout


def test_a_port_in_use_is_named_with_its_flag(machine: Machine, bootstrap: str) -> None:
    port = bootstrap.rsplit(":", 1)[1]
    refused = machine.homma("up", *machine.flags, "--kafka-port", port)
    assert refused.returncode == 1
    assert port in refused.stderr
    assert "--kafka-port" in refused.stderr
