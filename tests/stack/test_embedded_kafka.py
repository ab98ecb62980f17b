import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from homma.errors import PortInUse, ServerFailed, StackError
from homma.stack.processes.ports import must_be_free
from homma.stack.processes.process import State
from homma.stack.processes.process_ids import is_alive
from homma.stack.servers import kafka
from homma.stack.servers.kafka import Broker, explain, running
from homma.stack.servers.kafka_settings import log4j2_properties, server_properties
from tests.stack.answering import answers
from tests.support.waiting import free_ports, until

HERE = Path(__file__).parent


def settings_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def topics(port: int) -> set[str]:
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
    return set(client.list_topics(timeout=30).topics)


def make_topic(port: int, name: str) -> None:
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
    client.create_topics([NewTopic(name, 1, 1)])[name].result(30)


def write(port: int, topic: str, values: list[bytes]) -> None:
    """Write the values in one transaction."""
    options = {"transactional.id": "writer", "transaction.timeout.ms": 10_000}
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{port}", **options})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.commit_transaction(30)


def read(port: int, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": f"127.0.0.1:{port}",
            "group.id": "readers",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    values = [message.value() or b"" for message in consumer.consume(count, 30)]
    consumer.close()
    return values


def test_it_listens_on_the_loopback_address_only() -> None:
    rows = settings_of(server_properties(Path("/data"), 1234, 5678))
    assert rows["listeners"] == "PLAINTEXT://127.0.0.1:1234,CONTROLLER://127.0.0.1:5678"
    assert rows["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1234"
    assert rows["controller.quorum.voters"] == "1@127.0.0.1:5678"


def test_a_path_is_escaped_for_java() -> None:
    rows = settings_of(log4j2_properties(Path("/a\\b/\u00fc\U0001f4c8.log")))
    assert rows["appender.file.fileName"] == r"/a\\b/\u00fc\ud83d\udcc8.log"


@pytest.mark.parametrize("name", ["a,b", "a%d", "${a}"])
def test_a_folder_that_kafka_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StackError, match=r"in its name as syntax; choose another folder"):
        kafka.start(Broker(tmp_path / name, 1, 2, []), lambda: True)
    with pytest.raises(StackError, match=r"x:y\.jar.*--cache"):
        kafka.start(Broker(tmp_path, 1, 2, [Path("/x:y.jar")]), lambda: True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], ""),
        (["starting", "stopped"], "stopped"),
        (["[x] ERROR no room (kafka.Kafka$)", "[x] INFO bye"], "[x] ERROR no room (kafka.Kafka$)"),
        (
            [
                "x.y.OuterException: outside",
                "Caused by: java.io.IOException: inside",
                "[x] INFO bye",
            ],
            "IOException: inside",
        ),
        (
            [
                "org.apache.KafkaException: Socket server failed to bind to 127.0.0.1:9: "
                "Address already in use.",
                "Caused by: java.net.BindException: Address already in use",
            ],
            "org.apache.KafkaException: Socket server failed to bind to 127.0.0.1:9: "
            "Address already in use.",
        ),
        (
            ["Error: Could not find or load main class kafka.Kafka", "Caused by: a.b.NoClassError"],
            None,
        ),
    ],
)
def test_the_line_that_says_why(lines: list[str], why: str | None) -> None:
    assert explain(lines) == ("NoClassError" if why is None else why)


def test_a_broker_runs_during_a_with_block(tmp_path: Path, jars: list[Path]) -> None:
    port, controller = free_ports(2)
    with running(tmp_path / "kafka", port, controller, jars, lambda: answers(port)) as process:
        pid = process.status.pid
        assert process.status.state is State.RUNNING
        make_topic(port, "ticks")
        values = [f"value {number}".encode() for number in range(100)]
        write(port, "ticks", values)
        assert read(port, "ticks", 100) == values
        # A producer's metadata request creates the topic if the broker allows it.
        Producer({"bootstrap.servers": f"127.0.0.1:{port}"}).list_topics("mistyped", 30)
        assert topics(port) == {"ticks", "__consumer_offsets", "__transaction_state"}
        addresses = [
            item.laddr
            for item in psutil.Process(pid).net_connections()
            if item.status == psutil.CONN_LISTEN and item.laddr
        ]
        assert {address.ip for address in addresses} == {"127.0.0.1"}
        assert {address.port for address in addresses} == {port, controller}
    assert pid is not None
    assert not psutil.pid_exists(pid)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_restart_keeps_the_data_and_may_change_the_ports(
    tmp_path_factory: pytest.TempPathFactory, jars: list[Path]
) -> None:
    # The folder may have any name.
    tmp_path = tmp_path_factory.mktemp("data") / "my data #1 \u00fc\u4e16\U0001f4c8"
    port, controller, other_port, other_controller = free_ports(4)
    with running(tmp_path, port, controller, jars, lambda: answers(port)):
        make_topic(port, "ticks")
        write(port, "ticks", [b"kept"])
    formatted = (tmp_path / "data" / "meta.properties").read_text()
    with running(tmp_path, other_port, other_controller, jars, lambda: answers(other_port)):
        assert read(other_port, "ticks", 1) == [b"kept"]
    assert (tmp_path / "data" / "meta.properties").read_text() == formatted
    # Kafka logs to the file only, including its shutdown.
    assert "shut down completed" in (tmp_path / "server.log").read_text().lower()
    assert " INFO " not in (tmp_path / "out.log").read_text()


def test_a_killed_broker_is_restarted_with_its_data(tmp_path: Path, jars: list[Path]) -> None:
    port, controller = free_ports(2)
    with running(tmp_path, port, controller, jars, lambda: answers(port)) as process:
        make_topic(port, "ticks")
        write(port, "ticks", [b"kept"])
        first = process.status.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: process.status.restarts == 1 and process.status.state is State.RUNNING)
        assert process.status.pid != first
        assert process.status.last_exit == -signal.SIGKILL
        assert read(port, "ticks", 1) == [b"kept"]


@pytest.mark.parametrize(("taken", "flag"), [(0, "--kafka-port"), (1, "--kafka-controller-port")])
def test_a_port_in_use_is_reported_with_its_flag(
    tmp_path: Path, jars: list[Path], taken: int, flag: str
) -> None:
    ports = free_ports(2)
    with socket.create_server(("127.0.0.1", ports[taken])):
        with (
            pytest.raises(PortInUse) as error,
            running(tmp_path, ports[0], ports[1], jars, lambda: True),
        ):
            raise AssertionError("the broker started")
        assert f"port {ports[taken]} on 127.0.0.1 is in use by" in error.value.problem
        assert f"(pid {os.getpid()})" in error.value.problem
        assert flag in error.value.remedy
    # Checked before anything is written.
    assert list(tmp_path.iterdir()) == []


def test_a_port_bound_on_all_addresses_is_in_use() -> None:
    with socket.create_server(("", 0)) as other, pytest.raises(PortInUse, match="--p"):
        must_be_free(other.getsockname()[1], "--p")


@pytest.mark.parametrize(("taken", "flag"), [(0, "--kafka-port"), (1, "--kafka-controller-port")])
def test_a_port_taken_after_the_check_is_reported_too(
    tmp_path: Path,
    jars: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    taken: int,
    flag: str,
) -> None:
    ports = free_ports(2)
    monkeypatch.setattr(kafka, "must_be_free", lambda *_: None)
    # Another program that answers must not be mistaken for the broker.
    with socket.create_server(("127.0.0.1", ports[taken])):
        with pytest.raises(PortInUse) as error:
            kafka.start(Broker(tmp_path, ports[0], ports[1], jars), lambda: True)
        assert f"port {ports[taken]} " in error.value.problem
        assert flag in error.value.remedy


def test_a_broker_that_cannot_start_reports_why_and_the_log(
    tmp_path: Path, jars: list[Path]
) -> None:
    ports = free_ports(2)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=x\n")
    with pytest.raises(ServerFailed) as error:
        kafka.start(Broker(tmp_path, ports[0], ports[1], jars), lambda: True)
    assert "kafka ended with exit status 1 before it was ready" in error.value.problem
    assert "node id 7 doesn't match" in error.value.problem
    assert error.value.remedy == f"see {tmp_path / 'server.log'}"


def test_a_folder_that_cannot_be_formatted_says_why(tmp_path: Path, jars: list[Path]) -> None:
    ports = free_ports(2)
    # Without Kafka's own jar there is no tool to format it with.
    with pytest.raises(ServerFailed, match=r"exit status 1\): ClassNotFound.*StorageTool; see"):
        kafka.start(Broker(tmp_path, ports[0], ports[1], jars[1:]), lambda: True)


KAFKA_PARENT = """
import json, sys, time
from pathlib import Path
from homma.stack.servers.kafka import running
from tests.stack.answering import answers
folder, port, controller, *jars = sys.argv[1:]
ready = lambda: answers(int(port))
with running(Path(folder), int(port), int(controller), [Path(j) for j in jars], ready) as process:
    print(json.dumps([process.status.pid, process._child.guard_pid]), flush=True)
    time.sleep(600)
"""


def kill_parent(process: "subprocess.Popen[str]", _: int) -> None:
    process.kill()


def terminate_parent(process: "subprocess.Popen[str]", _: int) -> None:
    process.terminate()


def kill_both(process: "subprocess.Popen[str]", guard: int) -> None:
    process.send_signal(signal.SIGSTOP)
    os.kill(guard, signal.SIGKILL)
    process.kill()


@pytest.mark.parametrize("kill", [kill_parent, terminate_parent, kill_both])
def test_no_broker_is_left_behind(
    tmp_path: Path, jars: list[Path], kill: Callable[["subprocess.Popen[str]", int], None]
) -> None:
    if kill is kill_both and sys.platform != "linux":
        pytest.skip("on other systems the next owner ends servers left by two kills")
    port, controller = free_ports(2)
    command = [sys.executable, "-c", KAFKA_PARENT, str(tmp_path), str(port), str(controller)]
    with subprocess.Popen(
        [*command, *map(str, jars)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parent.parent,
    ) as process:
        assert process.stdout is not None
        pid, guard = json.loads(process.stdout.readline())
        server = (pid, psutil.Process(pid).create_time())
        watcher = (guard, psutil.Process(guard).create_time())
        assert is_alive(*server)
        assert is_alive(*watcher)
        kill(process, guard)
        until(lambda: not is_alive(*server) and not is_alive(*watcher))
    with running(tmp_path, port, controller, jars, lambda: answers(port)):
        assert answers(port)
