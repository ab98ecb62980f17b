"""A pipeline and a lake, and the commands of a copy of homma that work on them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from tests.support.homma_copy import HommaCopy
from tests.support.pipeline import Pipeline
from tests.support.sinks import Sinks
from tests.support.waiting import free_ports, until

DAY: Final = "2025-03-20T"
#: The intervals before and after the upgrade.
BEFORE: Final = ("m1", "M1")
AFTER: Final = ("s5", "m1", "h2", "M1")


def aggregate(pipeline: Pipeline, homma_copy: HommaCopy, *flags: str) -> None:
    """Run the copy's engine to the end of the topic."""
    engine = pipeline.process("--until-end", *flags, env=homma_copy.environment)
    assert engine.wait(120) == 0


@dataclass(frozen=True)
class Installation:
    """The topics, the lake, and the copy, which knows the credentials of the lake."""

    sinks: Sinks
    homma_copy: HommaCopy

    @property
    def pipeline(self) -> Pipeline:
        return self.sinks.pipeline

    def finished(self, command: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run one of the copy's commands until it exits."""
        common = self.sinks.flags(self.sinks.properties)
        return self.homma_copy.finished("-m", "homma", command, *common, *flags)

    def work_off(self) -> None:
        """Aggregate and land everything up to the ends of the topics."""
        aggregate(self.pipeline, self.homma_copy)
        self.run("land", "--until-end")

    def run(self, command: str, *flags: str) -> str:
        """What one of the copy's commands prints; it must succeed."""
        done = self.finished(command, *flags)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    @contextmanager
    def serving(self, *flags: str) -> Iterator[str]:
        """The copy's `homma serve` while the block runs; gives its address."""
        [port] = free_ports(1)
        common = self.sinks.flags(self.sinks.properties)
        process = subprocess.Popen(
            [sys.executable, "-m", "homma", "serve", *common, "--serve-port", str(port), *flags],
            env=self.homma_copy.environment,
            stderr=subprocess.DEVNULL,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: process.poll() is not None or _is_ready(address))
            assert process.poll() is None
            yield address
        finally:
            process.terminate()
            process.wait(60)


def _is_ready(address: str) -> bool:
    """Whether the server has read the newest candles."""
    try:
        return httpx.get(f"{address}/health/ready").status_code == 200
    except httpx.TransportError:
        return False
