"""`homma aggregate --engine flink` over a test's own topics, beside the embedded engine."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from homma.stack.flink_rest import Rest
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.aggregate.pipeline import Pipeline, until
from tests.stack.waiting import free_ports

#: A crowded machine plans for minutes.
PATIENCE_S = 900.0
#: A record: key, value, Kafka timestamp in milliseconds (None: now).
Record = tuple[bytes | None, bytes, int | None]


def timed(bootstrap: str, partitions: int = 1) -> Pipeline:
    """Topics whose records keep the timestamps that they are given, however old."""
    pipeline = Pipeline(bootstrap, partitions)
    keep_for_ever(pipeline)
    return pipeline


def keep_for_ever(pipeline: Pipeline) -> None:
    """Have the topics take and keep any timestamp."""
    wanted = {
        "retention.ms": "-1",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": str((1 << 63) - 1),
    }
    for topic in pipeline.topics.all():
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in wanted.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        client = AdminClient(pipeline.config)
        client.incremental_alter_configs([resource])[resource].result(30)


def send(pipeline: Pipeline, records: Sequence[Record]) -> None:
    producer = Producer({**pipeline.config, "enable.idempotence": True})
    for key, value, timestamp in records:
        more = {} if timestamp is None else {"timestamp": timestamp}
        producer.produce(pipeline.topics.ticks, value, key, **more)  # type: ignore[arg-type]
        producer.poll(0)
    assert producer.flush(60) == 0


@dataclass
class Flink:
    """Flink over the ticks of a pipeline, with candle topics of its own."""

    source: Pipeline
    home: Path

    def __post_init__(self) -> None:
        name = f"{self.source.name}f"
        self.settings = replace(
            self.source.topic_settings,
            candle_topic=name + "_{name}",
            late_topic="{topic}_late_f",
            dead_topic="{topic}_dead_f",
        )
        self.group = name
        self.pipeline = copy.copy(self.source)
        self.pipeline.topics = contract.topics(self.settings)
        self.pipeline.settings = replace(self.source.settings, group=self.group)
        specs = contract.specs(self.settings, self.source.partitions)
        Admin(self.source.config).ensure(specs, 1)
        [self.port] = free_ports(1)
        self.rest = Rest(f"127.0.0.1:{self.port}")

    @property
    def job(self) -> str:
        return f"homma {self.group} {self.source.topics.ticks}"

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """The verb as a process; its log is in the folder."""
        self.home.mkdir(exist_ok=True)
        argv = [
            sys.executable,
            "-m",
            "homma",
            "aggregate",
            "--engine",
            "flink",
            "--bootstrap.servers",
            self.source.bootstrap,
            "--group",
            self.group,
            "--topic",
            self.settings.topic,
            "--candle-topic",
            self.settings.candle_topic,
            "--late-topic",
            self.settings.late_topic,
            "--dead-topic",
            self.settings.dead_topic,
            "--dir",
            str(self.home),
            "--flink-port",
            str(self.port),
            "--state-backend",
            "hashmap",
            "--checkpoint-every",
            "2s",
            *flags,
        ]
        with (self.home / "homma.log").open("ab") as log:
            return subprocess.Popen(argv, env=os.environ.copy(), stderr=log)

    def said(self) -> str:
        return (self.home / "homma.log").read_text()

    def work_off(self, *flags: str) -> None:
        """What is there, to its end."""
        process = self.start("--until-end", *flags)
        try:
            assert process.wait(PATIENCE_S) == 0, self.said()
        finally:
            end(process)

    @contextmanager
    def running(self, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
        """The verb, its job at work, as long as the block lasts."""
        process = self.start(*flags)
        try:
            self.until_working(process)
            yield process
        finally:
            end(process)

    def until_working(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until all of the job's tasks run."""

        def working() -> bool:
            assert process.poll() is None, self.said()
            # Who asks a port that nobody listens on may get hold of it.
            if "Flink runs" not in self.said():
                return False
            job = self.rest.job(self.job)
            return job is not None and job.working

        until(working, PATIENCE_S)


def end(process: subprocess.Popen[Any]) -> None:
    """End it in order, if it has not ended."""
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
