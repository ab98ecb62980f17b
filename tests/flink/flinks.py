"""`homma aggregate --engine flink` with a test's own topics, next to the embedded engine."""

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

from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.flink.rest import Rest
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.support.pipeline import Pipeline, until
from tests.support.waiting import free_ports

#: On a busy machine, planning the job takes minutes.
TIMEOUT_S = 900.0
#: A record: key, value, Kafka timestamp in milliseconds (None: now).
Record = tuple[bytes | None, bytes, int | None]


def pipeline_with_timestamps(
    bootstrap: str, partitions: int = 1, calendar: Calendar = DEFAULT_CALENDAR
) -> Pipeline:
    """Topics whose records keep their timestamps, however old."""
    pipeline = Pipeline(bootstrap, partitions, calendar=calendar)
    accept_any_timestamp(pipeline)
    return pipeline


def accept_any_timestamp(pipeline: Pipeline) -> None:
    """Make the topics accept and retain any timestamp."""
    topic_config = {
        "retention.ms": "-1",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": str((1 << 63) - 1),
    }
    for topic in pipeline.topics.all():
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in topic_config.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        client = AdminClient(pipeline.config)
        client.incremental_alter_configs([resource])[resource].result(30)


def send(pipeline: Pipeline, records: Sequence[Record]) -> None:
    producer = Producer({**pipeline.config, "enable.idempotence": True})
    for key, value, timestamp in records:
        options = {} if timestamp is None else {"timestamp": timestamp}
        producer.produce(pipeline.topics.ticks, value, key, **options)  # type: ignore[arg-type]
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
        """Start the command; its log is in the folder."""
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
            "--intervals",
            str(self.settings.intervals),
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

    def log_text(self) -> str:
        return (self.home / "homma.log").read_text()

    def run_to_end(self, *flags: str) -> None:
        """Process all ticks, to the end of the topic."""
        process = self.start("--until-end", *flags)
        try:
            assert process.wait(TIMEOUT_S) == 0, self.log_text()
        finally:
            end(process)

    @contextmanager
    def running(self, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the command and its job during the block."""
        process = self.start(*flags)
        try:
            self.wait_until_running(process)
            yield process
        finally:
            end(process)

    def wait_until_running(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until all of the job's tasks run."""

        def is_running() -> bool:
            assert process.poll() is None, self.log_text()
            # Connecting to a port without a listener may occupy the port.
            if "Flink runs" not in self.log_text():
                return False
            job = self.rest.job(self.job)
            return job is not None and job.is_running

        until(is_running, TIMEOUT_S)


def end(process: subprocess.Popen[Any]) -> None:
    """Terminate the process if it still runs."""
    process.terminate()
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
