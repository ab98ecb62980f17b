"""`homma generate` and `homma replay` against a real broker, as processes of their own."""

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
from tests.feed.market import START_US, judged, made_up, taken

PROGRAM = """
from homma.cli.generate import generate
from homma.cli.main import homma, main
from homma.cli.replay import replay
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
    """Topics of one test."""

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
        """Records of each partition; none where there is no topic yet, or it is being made."""
        reader = Reader(self.config)
        try:
            partitions = Admin(self.config).partitions().get(self.topic, 0)
            return [reader.kept(self.topic, p).end for p in range(partitions)]
        except KafkaError:
            return []
        finally:
            reader.close()

    def records(self) -> list[tuple[int, bytes, bytes]]:
        """Partition, key and value of every record."""
        reader, found = Reader(self.config), []
        try:
            for partition, end in enumerate(self.counts()):
                for batch in reader.read(partition, {self.topic: Range(0, end)}, 30):
                    found += [(partition, m.key() or b"", m.value() or b"") for m in batch]
        finally:
            reader.close()
        return found


@pytest.fixture
def target(bootstrap: str) -> Target:
    return Target(bootstrap)


def by_key(values: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for value in values:
        tick = json.loads(value)
        found.setdefault(f"{tick['source']}:{tick['symbol']}".encode(), []).append(value)
    return found


def test_what_is_made_up_is_what_is_in_the_topic(target: Target) -> None:
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
    said = json.loads(ended.stdout)
    assert (said["topic"], said["sent"]) == (target.topic, 5_000)
    records = target.records()
    # A series stays in its order, on its partition, under its key.
    wanted = by_key(taken(made_up("7"), 5_000))
    for key, values in wanted.items():
        mine = [(partition, value) for partition, k, value in records if k == key]
        assert [value for _, value in mine] == values
        assert len({partition for partition, _ in mine}) == 1
    assert len(records) == 5_000
    found = Admin(target.config).partitions()
    assert {found[name] for name in target.topics.all()} == {3}


def test_ctrl_c_flushes_and_says_what_was_sent(target: Target) -> None:
    process = subprocess.Popen(
        command("generate", *target.flags, "--rate", "2000"), stderr=subprocess.PIPE, text=True
    )
    try:
        while sum(target.counts()) < 100:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said
    sent = re.search(rf"^sent ([0-9,]+) ticks to {target.topic} in ", said, re.MULTILINE)
    assert sent, said
    assert int(sent[1].replace(",", "")) == sum(target.counts()) >= 100


def test_recorded_ticks_in_a_terminal(target: Target, tmp_path: Path) -> None:
    ticks = judged(taken(made_up(), 3_000)).select("source", "symbol", "mid", "number", "dateTime")
    path = tmp_path / "ticks.csv"
    ticks.rename({"mid": "price"}).with_columns(
        price=pl.when(pl.col("number") == START_US + 2_000).then(None).otherwise("price")
    ).write_csv(path)
    ours, theirs = pty.openpty()
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
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65_536):
            said += part
    except OSError:  # the process has closed its end
        pass
    assert process.wait(60) == 0, said
    assert b"ticks/s" in said
    assert re.search(rb"sent 2,999 ticks to \S+ in .*, rows skipped 1", said), said
    found = judged([value for _, _, value in target.records()])
    assert found["error"].null_count() == found.height == 2_999
    assert (
        found["number"].sort().equals(ticks["number"].filter(ticks["number"] != START_US + 2_000))
    )


def test_what_is_wrong_is_one_sentence(target: Target) -> None:
    missing = run("replay", *target.flags, "nowhere.csv")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == ("homma: there is no file nowhere.csv; name files of recorded ticks\n")
    # Nothing was made on the way.
    assert target.topic not in Admin(target.config).partitions()


def test_a_secured_cluster_wants_a_login() -> None:
    secured = ("--security.protocol", "SASL_SSL", "--bootstrap.servers", "127.0.0.1:1")
    ended = run("generate", *secured, KAFKA_SASL_USERNAME="", KAFKA_SASL_PASSWORD="")
    assert ended.returncode == 2
    assert "set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD" in ended.stderr
    # With one it gets as far as the network, and tells nobody the password.
    ended = run("generate", *secured, KAFKA_SASL_USERNAME="me", KAFKA_SASL_PASSWORD="s3cr3t-w0rd")
    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr
    assert "s3cr3t-w0rd" not in ended.stderr + ended.stdout
