"""`homma generate` and `homma replay` as processes, with a real broker."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from homma.errors import KafkaError
from homma.settings import TopicSettings
from homma.topics.contract import topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import Range, Reader
from tests.feed.market import START_US, checked, generated, take_values

PROGRAM = """
from homma.cli.verbs.generate import generate
from homma.cli.main import homma, main
from homma.cli.verbs.replay import replay
homma.add_command(generate)
homma.add_command(replay)
main()
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )


class Target:
    """The topics of one test."""

    def __init__(self, bootstrap: str) -> None:
        name = "f" + uuid.uuid4().hex[:10]
        self.topic = f"{name}_ticks"
        self.config = {"bootstrap.servers": bootstrap}
        self.flags = [
            "--bootstrap.servers",
            bootstrap,
            "--topic",
            self.topic,
            "--candle-topic",
            name + "_{name}",
            "--partitions",
            "3",
        ]
        self.topics = topics(TopicSettings(topic=self.topic, candle_topic=name + "_{name}"))

    def counts(self) -> list[int]:
        """The record count of each partition; empty if the topic does not exist yet."""
        reader = Reader(self.config)
        try:
            partitions = Admin(self.config).partitions().get(self.topic, 0)
            return [reader.offset_range(self.topic, p).end for p in range(partitions)]
        except KafkaError:
            return []
        finally:
            reader.close()

    def records(self) -> list[tuple[int, bytes, bytes]]:
        """Partition, key and value of every record."""
        reader, records = Reader(self.config), []
        try:
            for partition, end in enumerate(self.counts()):
                for batch in reader.read(partition, {self.topic: Range(0, end)}, 30):
                    records += [(partition, m.key() or b"", m.value() or b"") for m in batch]
        finally:
            reader.close()
        return records


@pytest.fixture
def target(bootstrap: str) -> Target:
    return Target(bootstrap)


def by_key(values: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    groups: dict[bytes, list[bytes]] = {}
    for value in values:
        tick = json.loads(value)
        groups.setdefault(f"{tick['source']}:{tick['symbol']}".encode(), []).append(value)
    return groups


def test_the_topic_has_exactly_the_generated_ticks(target: Target) -> None:
    ended = run(
        "generate",
        *target.flags,
        "--seed",
        "7",
        "--start",
        "2025-03-20T14:31:28",
        "--json",
        "--speed",
        "max",
        "--rate",
        "1000",
        "--limit",
        "5000",
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert (report["topic"], report["sent"]) == (target.topic, 5_000)
    records = target.records()
    # Each series has one key and one partition, and keeps its order.
    expected = by_key(take_values(generated("7"), 5_000))
    for key, values in expected.items():
        of_series = [(partition, value) for partition, k, value in records if k == key]
        assert [value for _, value in of_series] == values
        assert len({partition for partition, _ in of_series}) == 1
    assert len(records) == 5_000
    partitions = Admin(target.config).partitions()
    assert {partitions[name] for name in target.topics.all()} == {3}


def test_ctrl_c_flushes_and_reports_the_ticks_sent(target: Target) -> None:
    process = subprocess.Popen(
        command("generate", *target.flags, "--rate", "2000"), stderr=subprocess.PIPE, text=True
    )
    try:
        while sum(target.counts()) < 100:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, output
    sent = re.search(rf"^sent ([0-9,]+) ticks to {target.topic} in ", output, re.MULTILINE)
    assert sent, output
    assert int(sent[1].replace(",", "")) == sum(target.counts()) >= 100


def test_recorded_ticks_in_a_terminal(target: Target, tmp_path: Path) -> None:
    ticks = checked(take_values(generated(), 3_000)).select(
        "source", "symbol", "mid", "number", "dateTime"
    )
    path = tmp_path / "ticks.csv"
    ticks.rename({"mid": "price"}).with_columns(
        price=pl.when(pl.col("number") == START_US + 2_000).then(None).otherwise("price")
    ).write_csv(path)
    terminal, program = pty.openpty()
    process = subprocess.Popen(
        command(
            "replay",
            *target.flags,
            str(path),
            "--column",
            "mid=price",
            "--speed",
            "max",
            "--skip-invalid-rows",
        ),
        stderr=program,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(program)
    output = b""
    try:
        while part := os.read(terminal, 65_536):
            output += part
    except OSError:  # the process has closed its end
        pass
    assert process.wait(60) == 0, output
    assert b"ticks/s" in output
    assert re.search(rb"sent 2,999 ticks to \S+ in .*, rows skipped 1", output), output
    actual = checked([value for _, _, value in target.records()])
    assert actual["error"].null_count() == actual.height == 2_999
    assert (
        actual["number"].sort().equals(ticks["number"].filter(ticks["number"] != START_US + 2_000))
    )


def test_an_error_is_one_sentence(target: Target) -> None:
    missing = run("replay", *target.flags, "nowhere.csv")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == (
        "homma: file nowhere.csv does not exist; pass files of recorded ticks\n"
    )
    # No topic was created.
    assert target.topic not in Admin(target.config).partitions()


def test_a_secured_cluster_requires_a_login() -> None:
    secured = ("--security.protocol", "SASL_SSL", "--bootstrap.servers", "127.0.0.1:1")
    ended = run("generate", *secured, KAFKA_SASL_USERNAME="", KAFKA_SASL_PASSWORD="")
    assert ended.returncode == 2
    assert "set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD" in ended.stderr
    # With a login, the client tries to connect, and the output does not show the password.
    ended = run("generate", *secured, KAFKA_SASL_USERNAME="me", KAFKA_SASL_PASSWORD="s3cr3t-w0rd")
    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr
    assert "s3cr3t-w0rd" not in ended.stderr + ended.stdout
