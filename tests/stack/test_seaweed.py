import os
import signal
import socket
import stat
import threading
from pathlib import Path

import psutil
import pytest

from homma.errors import PortInUse, ServerFailed, StackError
from homma.stack.processes.process import Process, State
from homma.stack.servers import seaweed
from homma.stack.servers.credentials import Credentials
from homma.stack.servers.seaweed import Seaweed, explain, purge_log, running
from homma.stack.servers.seaweed_settings import Ports, arguments, environment, security_toml
from tests.stack.lakes import RunningLake, append, catalog
from tests.support.waiting import seaweed_ports, until


def listeners(process: Process) -> set[tuple[str, int]]:
    sockets = psutil.Process(process.status.pid).net_connections("tcp")
    return {
        (c.laddr.ip, c.laddr.port) for c in sockets if c.status == psutil.CONN_LISTEN and c.laddr
    }


def secrets_of(home: Path) -> dict[str, bytes]:
    names = ["credentials.env", "seaweed/keys.env", "seaweed/tls/key.pem", "seaweed/tls/cert.pem"]
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in names} == {0o600}
    return {name: (home / name).read_bytes() for name in names}


def test_it_listens_on_its_ports_of_the_loopback_address_only(lake: RunningLake) -> None:
    ports = set(lake.server.ports.all().values())
    assert listeners(lake.process) == {("127.0.0.1", port) for port in ports}
    assert len(ports) == 11
    for folder in (lake.server.folder, lake.server.folder / "data"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_creates_only_sockets_in_tmp(lake: RunningLake) -> None:
    process = psutil.Process(lake.process.status.pid)
    opened = {Path(file.path) for file in process.open_files()}
    ours = {file for file in opened if file.is_relative_to(lake.server.folder)}
    assert {file.parent.name for file in ours} > {"data", "log"}
    # Besides files of the kernel.
    assert {file.parts[1] for file in opened - ours} <= {"sys", "proc"}
    sockets = {c.laddr for c in process.net_connections("unix") if c.laddr}
    assert {"filer.sock", "s3.sock"} < sockets
    assert all("-grpc-" in name for name in sockets - {"filer.sock", "s3.sock"})


def test_a_restart_on_other_ports_keeps_data_and_secrets(tmp_path: Path) -> None:
    ports, others = seaweed_ports(), seaweed_ports()
    with running(tmp_path / "home", ports) as process:
        assert process.status.state is State.RUNNING
        assert append(tmp_path / "home", ports) == 3
        pid = process.status.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)
    before = secrets_of(tmp_path / "home")
    with running(tmp_path / "home", others) as process:
        assert {port for _, port in listeners(process)} == set(others.all().values())
        assert append(tmp_path / "home", others) == 6
    assert secrets_of(tmp_path / "home") == before


def test_a_killed_server_is_restarted_with_its_data(tmp_path: Path) -> None:
    ports = seaweed_ports()
    with running(tmp_path, ports) as process:
        append(tmp_path, ports)
        first = process.status.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: process.status.restarts == 1 and process.status.state is State.RUNNING)
        assert process.status.last_exit == -signal.SIGKILL
        assert append(tmp_path, ports) == 6
    assert not list(Path("/tmp").glob(f"seaweedfs-*-grpc-{ports.all()['master gRPC']}.sock"))


@pytest.mark.parametrize(
    ("taken", "flag"),
    [("s3", "--s3-port"), ("catalog", "--catalog-port"), ("admin gRPC", "--seaweed-port")],
)
def test_a_port_in_use_is_reported_with_its_flag(tmp_path: Path, taken: str, flag: str) -> None:
    ports = seaweed_ports()
    port = ports.all()[taken]
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortInUse) as error:
        seaweed.start(Seaweed(tmp_path, ports))
    assert f"port {port} on 127.0.0.1 is in use by" in error.value.problem
    assert flag in error.value.remedy
    # Checked before anything is written.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("taken", "flag"), [("catalog", "--catalog-port"), ("filer gRPC", "--seaweed-port")]
)
def test_a_port_taken_after_the_check_is_reported_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str, flag: str
) -> None:
    ports = seaweed_ports()
    monkeypatch.setattr(seaweed, "must_be_free", lambda *_: None)
    # SeaweedFS would choose another port by itself, which no client knows.
    monkeypatch.setattr(seaweed, "READY_WITHIN_S", 5.0)
    with socket.create_server(("127.0.0.1", ports.all()[taken])):
        with pytest.raises(PortInUse) as error:
            seaweed.start(Seaweed(tmp_path, ports))
        assert f"port {ports.all()[taken]} " in error.value.problem
        assert flag in error.value.remedy


def test_a_server_that_cannot_start_reports_why_and_the_log(tmp_path: Path) -> None:
    (tmp_path / "seaweed" / "data" / "filerldb2").mkdir(parents=True)
    (tmp_path / "seaweed" / "data" / "filerldb2" / "00").touch()
    with pytest.raises(ServerFailed) as error:
        seaweed.start(Seaweed(tmp_path, seaweed_ports()))
    assert "seaweed ended with exit status" in error.value.problem
    assert "filerldb2" in error.value.problem
    assert error.value.remedy == f"see {tmp_path / 'seaweed' / 'out.log'}"


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "seaweed").touch()
    with pytest.raises(StackError, match=r"seaweed cannot be written: .*--dir"):
        seaweed.start(Seaweed(tmp_path, seaweed_ports()))


def test_flags_and_environment(tmp_path: Path) -> None:
    flags = arguments(Ports(1, 2, 10))
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"} < set(flags)
    assert {"-s3.port=1", "-s3.port.iceberg=2", "-admin.port=10", "-s3.port.grpc=17"} < set(flags)
    outside = {"WEED_ADMIN_USER": "x", "S3_BUCKET": "x", "AWS_PROFILE": "x", "PATH": "/bin"}
    assert environment(outside, Credentials("a", "b"), {"WEED_X": "y"}) == {
        "PATH": "/bin",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "WEED_X": "y",
    }
    assert security_toml().count('key = "tls/key.pem"') == 7


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], ""),
        (["  Master starting", "bye"], "bye"),
        (["I1126 a", "E1126 no", "F1126 worse", "I1126 b"], "F1126 worse"),
        (["E1126 no", "I1126 b"], "E1126 no"),
        (
            ["F1126 worse", "W1126 gRPC port 7 for S3 is not available, finding"],
            "W1126 gRPC port 7 for S3 is not available, finding",
        ),
    ],
)
def test_the_line_that_says_why(lines: list[str], why: str) -> None:
    assert explain(lines) == why


def bytes_of(lake: RunningLake) -> int:
    return sum(file.stat().st_size for file in (lake.server.folder / "data").glob("*.dat"))


def test_the_change_log_can_be_purged_while_the_server_is_used(lake: RunningLake) -> None:
    home, ports = lake.server.home, lake.server.ports
    table = catalog(home, ports).load_table("space.table")
    before = bytes_of(lake)
    rows = len(table.scan().to_arrow())
    for number in range(12):
        with table.transaction() as change:
            change.set_properties({"long": f"{number}" * 1_000_000})
    with table.transaction() as change:
        change.remove_properties("long")
    grown = until(lambda: (now := bytes_of(lake)) > before + 8_000_000 and now)
    purging = threading.Thread(target=purge_log, args=[lake.server, threading.Event()])
    purging.start()
    while purging.is_alive():
        rows += 3
        assert append(home, ports) == rows
    until(lambda: bytes_of(lake) < grown - 8_000_000)
    assert append(home, ports) == rows + 3


def test_a_purge_returns_once_it_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    server = Seaweed(tmp_path, seaweed_ports())
    (tmp_path / "seaweed" / "log").mkdir(parents=True)
    # The server does not run, but that is no error once `stop` is set.
    purge_log(server, stop)
