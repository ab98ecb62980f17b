"""`homma aggregate` as processes of their own, watched from outside."""

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
from homma.stack.child import Child

_PATIENCE_S = 120.0
_GRACE_S = 60.0
_LOOK_S = 0.02
_OPENED = "goes on at offset"
_FLINK_RUNS = "Flink runs"


@dataclass
class Engine:
    """One process, which does not outlive this one. `peak_mib` is known when it has ended."""

    child: Child
    log: Path
    peak_mib: float = 0.0

    def ended(self) -> bool:
        return self.child.wait(0)

    def said(self) -> str:
        return self.log.read_text()

    def opened(self) -> int:
        """How often it has opened a partition."""
        return self.said().count(_OPENED)

    def tree(self) -> list[psutil.Process]:
        """It, and what it has started: Flink's JVM."""
        own = psutil.Process(self.child.pid)
        return [own, *own.children(recursive=True)]

    def cpu_s(self) -> float:
        used = [process.cpu_times() for process in self.tree()]
        return float(sum(times.user + times.system for times in used))

    def rss_mib(self) -> float:
        return float(psutil.Process(self.child.pid).memory_info().rss / (1 << 20))

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and learn what it took."""
        if self.ended():
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
        # Committed offsets are asked for as they stand: a pending transaction is not waited for.
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
        with log.open("wb") as said:
            engine = Engine(Child(argv, said, _GRACE_S), log)
        self.all.append(engine)
        return engine

    def until(
        self, met: Callable[[], bool], look_s: float = _LOOK_S, within_s: float = _PATIENCE_S
    ) -> None:
        """Wait for something, as long as all engines are alive."""
        until_s = time.monotonic() + within_s
        while not met():
            for engine in self.all:
                # What was ended here has told its peak.
                if engine.ended() and not engine.peak_mib:
                    raise SystemExit(f"an engine ended:\n{engine.said()[-2000:]}")
            if time.monotonic() > until_s:
                raise SystemExit(f"{within_s:g} s were not enough: is the machine too busy?")
            time.sleep(look_s)

    def ready(self) -> bool:
        """Whether the running engines share the partitions evenly, and all of them are open."""
        running = [engine for engine in self.all if not engine.ended()]
        share = PARTITIONS // len(running)
        if any(engine.opened() < share for engine in running):
            return False
        group = self._admin.describe_consumer_groups([self.group])[self.group].result()
        owned = [len(member.assignment.topic_partitions) for member in group.members]
        return group.state == ConsumerGroupState.STABLE and owned == [share] * len(running)

    def flink_ready(self) -> bool:
        """Whether all of the job's tasks run."""
        return all(_FLINK_RUNS in engine.said() for engine in self.all)

    def committed(self) -> int:
        """How many ticks the candles committed so far are made of."""
        found = self._offsets.committed(self._parts, timeout=10)
        return sum(part.offset for part in found if part.offset > 0)

    def close(self) -> None:
        for engine in self.all:
            engine.end()
        self._offsets.close()


@contextmanager
def engines(bootstrap: str, topics: TopicSettings, group: str, folder: Path) -> Iterator[Engines]:
    """No engine outlives the block."""
    group_of = Engines(bootstrap, topics, group, folder)
    try:
        yield group_of
    finally:
        group_of.close()
