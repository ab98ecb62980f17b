"""Engines of format 1 and of the current format, one after the other on the same topics."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from homma.formats import CURRENT
from homma.topics.kafka.reading import GroupOffsets, Reader
from tests.upgrade.installation import run_old


class Group:
    """Topics of their own, and the engines that read them one after the other."""

    def __init__(self, bootstrap: str, old_source: Path) -> None:
        self.name = f"upgrade_{uuid.uuid4().hex[:8]}"
        self.config = {"bootstrap.servers": bootstrap}
        self._old_source = old_source
        settings = {
            "BOOTSTRAP_SERVERS": bootstrap,
            "TOPIC": self.name,
            "CANDLE_TOPIC": f"{self.name}_{{name}}",
            "PARTITIONS": "1",
        }
        self._env = {f"HOMMA_{name}": value for name, value in settings.items()}
        self._engine = ["aggregate", "--group", self.name, "--until-end"]

    def homma(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "homma", *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **self._env},
        )

    def send(self, seed: str) -> None:
        """Send 300 ticks, dated after those of a smaller seed."""
        words = ["generate", "--seed", seed, "--start", f"2025-03-2{seed}T10:00:00"]
        sent = self.homma([*words, "--speed", "max", "--rate", "1", "--limit", "300"])
        assert sent.returncode == 0, sent.stderr

    def aggregate(self, *flags: str) -> None:
        """Run the current engine up to the end of the topic."""
        done = self.homma([*self._engine, *flags])
        assert done.returncode == 0, done.stderr

    def aggregate_old(self) -> subprocess.CompletedProcess[str]:
        """Run the engine of format 1 up to the end of the topic."""
        return run_old(self._old_source, self._engine, self._env)

    def state(self) -> tuple[int, int, int]:
        """The format of the committed metadata, the offset, and the end of the minute topic."""
        group, reader = GroupOffsets(self.config, self.name, self.name), Reader(self.config)
        try:
            committed = group.committed(0)
            assert committed is not None
            stored = json.loads(committed.metadata)
            records = reader.offset_range(f"{self.name}_1min", 0).end
            return int(stored.get("format", 1)), committed.offset, records
        finally:
            group.close()
            reader.close()


@pytest.fixture
def group(bootstrap: str, old_source: Path) -> Group:
    return Group(bootstrap, old_source)


def test_an_old_engine_stops_before_it_writes_a_candle(group: Group) -> None:
    group.send("1")
    group.aggregate()
    state = group.state()
    assert state[0] == CURRENT
    group.send("2")
    old = group.aggregate_old()
    assert old.returncode == 1
    assert "has not been written by homma" in old.stderr
    assert group.state() == state
    # The current engine continues where it was.
    group.aggregate()
    assert group.state() > state


def test_the_current_engine_continues_from_an_old_one(group: Group) -> None:
    group.send("1")
    assert group.aggregate_old().returncode == 0
    version, offset, _ = group.state()
    assert version == 1
    group.send("2")
    group.aggregate()
    after, more, _ = group.state()
    assert after == CURRENT
    assert more > offset


def test_an_engine_that_writes_format_1_leaves_the_way_back_open(group: Group) -> None:
    group.send("1")
    group.aggregate("--write-format", "1")
    assert group.state()[0] == 1
    group.send("2")
    old = group.aggregate_old()
    assert old.returncode == 0, old.stderr
    assert group.state()[0] == 1
    group.send("3")
    group.aggregate()
    assert group.state()[0] == CURRENT
