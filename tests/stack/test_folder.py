import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from homma.errors import FolderInUse, StackError, StateError
from homma.formats import CURRENT
from homma.stack.processes.folder import LOCK, claim, end_owner, owner_of
from homma.stack.processes.process import State, Status
from homma.stack.processes.record import NAME, Owner, read_record

# Claims the folder argv[1] and records the process argv[2] (0: none) as its server.
OWNER = """
import sys, time, psutil
from pathlib import Path
from typing import Any
from homma.stack.processes.folder import claim
from homma.stack.processes.process import State, Status
folder, pid = claim(Path(sys.argv[1])), int(sys.argv[2])
if pid:
    created = psutil.Process(pid).create_time()
    status = Status("kafka", State.RUNNING, time.time(), pid, created)
    folder.record_status(status, {"broker": 9092})
print("owned", flush=True)
time.sleep(600)
"""


@contextmanager
def other_owner(path: Path, server: int = 0) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", OWNER, str(path), str(server)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


@pytest.fixture
def server() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_only_the_owner_can_access_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "data"
    with claim(path) as folder:
        assert folder.leftovers.owner is None
        assert folder.leftovers.ended == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


def test_a_second_claim_names_the_owner_and_the_remedy(tmp_path: Path) -> None:
    with other_owner(tmp_path) as process:
        with pytest.raises(FolderInUse) as error:
            claim(tmp_path)
        assert error.value.problem == f"the folder {tmp_path} is in use by process {process.pid}"
        assert f"homma down --dir {tmp_path}" in error.value.remedy
        assert process.poll() is None
        owner = owner_of(tmp_path)
        assert owner is not None
        assert owner.pid == process.pid


def test_a_released_folder_can_be_claimed(tmp_path: Path) -> None:
    with claim(tmp_path):
        assert owner_of(tmp_path) is not None
    assert read_record(tmp_path).owner is None
    claim(tmp_path).release()


def test_a_dead_owners_lock_is_taken_over(tmp_path: Path) -> None:
    with other_owner(tmp_path) as process:
        process.kill()
        process.wait()
        assert owner_of(tmp_path) is None
        with claim(tmp_path) as folder:
            assert folder.leftovers.owner == process.pid
            owner = owner_of(tmp_path)
            assert owner is not None
            assert owner.pid == os.getpid()


def test_the_content_of_the_lock_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("not written by homma")
    assert owner_of(tmp_path) is None
    claim(tmp_path).release()


def test_a_dead_owners_servers_are_ended(tmp_path: Path, server: "subprocess.Popen[bytes]") -> None:
    with other_owner(tmp_path, server.pid) as process:
        process.kill()
        process.wait()
        with claim(tmp_path) as folder:
            assert [status.name for status in folder.leftovers.ended] == ["kafka"]
            assert server.wait() == -signal.SIGTERM
            assert read_record(tmp_path).entries == ()


def test_a_process_that_reuses_a_pid_is_left_alone(
    tmp_path: Path, server: "subprocess.Popen[bytes]"
) -> None:
    with claim(tmp_path) as folder:
        created = psutil.Process(server.pid).create_time() - 3600
        folder.record_status(Status("kafka", State.RUNNING, 0.0, server.pid, created), {})
    with claim(tmp_path) as folder:
        assert folder.leftovers.ended == ()
    assert server.poll() is None


def test_the_record_lists_the_processes(tmp_path: Path) -> None:
    kafka = Status("kafka", State.RUNNING, 5.0, 7, 4.0, restarts=1, last_exit=-9, trouble="x")
    weed = Status("weed", State.WAITING, 6.0)
    with claim(tmp_path) as folder:
        folder.record_status(kafka, {"broker": 9092, "controller": 9093})
        folder.record_status(weed, {})
        record = read_record(tmp_path)
        assert record.owner == Owner(os.getpid(), psutil.Process().create_time())
        assert [(entry.status, entry.ports) for entry in record.entries] == [
            (kafka, {"broker": 9092, "controller": 9093}),
            (weed, {}),
        ]
        assert isinstance(record.entries[0].status.state, State)


def test_a_reader_never_sees_a_partial_record(tmp_path: Path) -> None:
    stop = threading.Event()
    counts: list[int] = []

    def read() -> None:
        while not stop.is_set():
            counts.append(len(read_record(tmp_path).entries))

    with claim(tmp_path) as folder:
        reader = threading.Thread(target=read)
        reader.start()
        for number in range(300):
            folder.record_status(
                Status(f"p{number % 20}", State.RUNNING, float(number), 1, 2.0), {}
            )
        stop.set()
        reader.join()
    assert counts == sorted(counts)
    assert {path.name for path in tmp_path.iterdir()} == {LOCK, NAME}


def test_a_missing_folder_has_no_owner_and_no_processes(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert read_record(path).entries == ()
    assert owner_of(path) is None
    assert end_owner(path).owner is None
    assert not path.exists()


def test_down_ends_the_owner_and_its_servers(
    tmp_path: Path, server: "subprocess.Popen[bytes]"
) -> None:
    with other_owner(tmp_path, server.pid) as process:
        # The killed process must be reaped, as its shell would do.
        threading.Thread(target=process.wait).start()
        leftovers = end_owner(tmp_path, grace_s=20.0)
        assert leftovers.owner == process.pid
        assert [status.pid for status in leftovers.ended] == [server.pid]
        assert process.wait() == -signal.SIGTERM
        assert server.wait() == -signal.SIGTERM
    assert owner_of(tmp_path) is None


def test_a_child_of_the_owner_does_not_hold_the_lock(tmp_path: Path) -> None:
    with claim(tmp_path):
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
    with child:
        claim(tmp_path).release()
        assert child.poll() is None
        child.kill()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"owner": null}', '{"owner": 3, "processes": []}']
)
def test_a_corrupt_record_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StackError, match=rf"{NAME} is not a record.*; end the servers"):
        claim(tmp_path)
    assert owner_of(tmp_path) is None
    (tmp_path / NAME).unlink()
    claim(tmp_path).release()


def test_a_folder_of_a_newer_homma_is_refused(tmp_path: Path) -> None:
    newer: dict[str, Any] = {"format": CURRENT + 1, "owner": None, "processes": []}
    (tmp_path / NAME).write_text(json.dumps(newer), encoding="utf-8")
    for call in (read_record, claim):
        with pytest.raises(StateError) as raised:
            call(tmp_path)
        assert str(raised.value) == (
            f"{tmp_path} was written by a newer homma (format {CURRENT + 1}; this homma reads up "
            f"to {CURRENT}); upgrade this homma"
        )
    assert json.loads((tmp_path / NAME).read_text("utf-8")) == newer


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"file/data cannot be used: .*; choose another"):
        claim(tmp_path / "file" / "data")
