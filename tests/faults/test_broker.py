"""The broker dies under a running engine, and comes back."""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from homma.cli.local import answers
from homma.stack import kafka
from homma.stack.process import Process, State
from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, tick, until
from tests.stack.waiting import free_ports

DAY = "2025-03-20T"
KILLS = 2


@pytest.fixture
def broker(tmp_path: Path, jars: list[Path]) -> Iterator[tuple[Process, str]]:
    """A broker of the test's own, restarted after a crash."""
    port, controller_port = free_ports(2)
    address = f"127.0.0.1:{port}"
    with kafka.running(
        tmp_path / "kafka", port, controller_port, jars, lambda: answers(address)
    ) as process:
        yield process, address


def test_the_engine_goes_on_when_its_broker_was_killed(broker: tuple[Process, str]) -> None:
    process, address = broker
    pipeline = Pipeline(address, partitions=2)
    # So many ticks that transactions are under way all the time.
    ticks = [
        tick(f"{DAY}14:{minute:02}:{second:02}", minute + n / 8, minute * 60 + second, f"SYM{n}")
        for minute in range(30, 30 + KILLS + 1)
        for second in range(60)
        for n in range(8)
    ]
    each = len(ticks) // (KILLS + 1)

    def counted() -> int:
        return int(pipeline.candles().filter(interval=8)["volume"].sum())

    with pipeline.running(emit_every=timedelta(milliseconds=20)) as engine:
        for kill in range(KILLS + 1):
            pipeline.send(*ticks[kill * each : (kill + 1) * each])
            if kill < KILLS:
                pid = process.status.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                until(lambda: process.status.restarts > kill)  # noqa: B023
                until(lambda: process.status.state is State.RUNNING)
        until(lambda: counted() == len(ticks), within_s=150)
        assert engine.is_alive()
    same_candles(pipeline.candles(), batch_candles(ticks))
