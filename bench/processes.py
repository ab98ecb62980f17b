"""`homma aggregate` in processes of its own, measured from outside."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, ConsumerGroupState, TopicPartition
from confluent_kafka.admin import AdminClient

from bench.market import PARTITIONS
from bench.stopwatch import peak_mib
from homma.settings import TopicSettings
from homma.stack.processes.child import Child

_TIMEOUT_S = 120.0
_GRACE_S = 60.0
_POLL_S = 0.02
_PARTITION_OPENED = "continues at offset"
_FLINK_RUNS = "Flink runs"


@dataclass
class Engine:
    """A child process of this one. `peak_mib` is set when the process has ended."""

    child: Child
    log: Path
    peak_mib: float = 0.0

    def has_ended(self) -> bool:
        return self.child.wait(0)

    def log_text(self) -> str:
        return self.log.read_text()

    def opened(self) -> int:
        """The number of partitions opened so far."""
        return self.log_text().count(_PARTITION_OPENED)

    def tree(self) -> list[psutil.Process]:
        """The process and its children: Flink's JVM."""
        parent = psutil.Process(self.child.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_s(self) -> float:
        times_of = [process.cpu_times() for process in self.tree()]
        return float(sum(times.user + times.system for times in times_of))

    def rss_mib(self) -> float:
        return float(psutil.Process(self.child.pid).memory_info().rss / (1 << 20))

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process and store its peak memory."""
        if self.has_ended():
            return
        self.peak_mib = sum(peak_mib(process.pid) for process in self.tree())
        os.kill(self.child.pid, number)
        self.child.wait()


@dataclass
class Engines:
    """The engines of one consumer group."""

    bootstrap: str
    topics: TopicSettings
    group: str
    folder: Path
    all: list[Engine] = field(default_factory=list)

    def __post_init__(self) -> None:
        config: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "log_level": 0}
        self._admin = AdminClient(config)
        # Read committed offsets without waiting for a pending transaction.
        self._offsets = Consumer(
            {**config, "group.id": self.group, "isolation.level": "read_uncommitted"}
        )
        self._parts = [TopicPartition(self.topics.topic, p) for p in range(PARTITIONS)]

    def start(self, *flags: str) -> Engine:
        log = self.folder / f"{self.group}-{len(self.all)}.log"
        argv = [
            sys.executable,
            "-m",
            "homma",
            "aggregate",
            "--bootstrap.servers",
            self.bootstrap,
            "--topic",
            self.topics.topic,
            "--candle-topic",
            self.topics.candle_topic,
            "--group",
            self.group,
            *flags,
        ]
        with log.open("wb") as output:
            engine = Engine(Child(argv, output, _GRACE_S), log)
        self.all.append(engine)
        return engine

    def until(
        self, condition: Callable[[], bool], poll_s: float = _POLL_S, timeout_s: float = _TIMEOUT_S
    ) -> None:
        """Wait for a condition while all engines are alive."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            for engine in self.all:
                # An engine that was ended on purpose has a peak.
                if engine.has_ended() and not engine.peak_mib:
                    raise SystemExit(f"an engine ended unexpectedly:\n{engine.log_text()[-2000:]}")
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{timeout_s:g} s timed out: is the machine too busy?")
            time.sleep(poll_s)

    def ready(self) -> bool:
        """Whether all partitions are open and evenly assigned to the running engines."""
        running = [engine for engine in self.all if not engine.has_ended()]
        share = PARTITIONS // len(running)
        if any(engine.opened() < share for engine in running):
            return False
        group = self._admin.describe_consumer_groups([self.group])[self.group].result()
        owned = [len(member.assignment.topic_partitions) for member in group.members]
        return group.state == ConsumerGroupState.STABLE and owned == [share] * len(running)

    def flink_ready(self) -> bool:
        """Whether all tasks of the job are running."""
        return all(_FLINK_RUNS in engine.log_text() for engine in self.all)

    def committed(self) -> int:
        """The number of ticks in the candles committed so far."""
        partitions = self._offsets.committed(self._parts, timeout=10)
        return sum(part.offset for part in partitions if part.offset > 0)

    def close(self) -> None:
        for engine in self.all:
            engine.end()
        self._offsets.close()


@contextmanager
def engines(bootstrap: str, topics: TopicSettings, group: str, folder: Path) -> Iterator[Engines]:
    """The engines of a group, which end with the block."""
    processes = Engines(bootstrap, topics, group, folder)
    try:
        yield processes
    finally:
        processes.close()
