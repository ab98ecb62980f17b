import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from homma.errors import FolderInUse, StackError
from homma.stack.folder import LOCK, claim, end_owner, owner_of
from homma.stack.process import State, Status
from homma.stack.record import NAME, Owner, read_record

# Claims the folder argv[1] and records the process argv[2] (0: none) as its server.
OWNER = """
import sys, time, psutil
from pathlib import Path
from homma.stack.folder import claim
from homma.stack.process import State, Status
folder, pid = claim(Path(sys.argv[1])), int(sys.argv[2])
if pid:
    created = psutil.Process(pid).create_time()
    folder.note(Status("kafka", State.RUNNING, time.time(), pid, created), {"broker": 9092})
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


def test_the_folder_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "data"
    with claim(path) as folder:
        assert folder.leftovers.owner is None
        assert folder.leftovers.ended == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


def test_a_second_owner_is_told_who_and_how(tmp_path: Path) -> None:
    with other_owner(tmp_path) as process:
        with pytest.raises(FolderInUse) as error:
            claim(tmp_path)
        assert error.value.what == f"the folder {tmp_path} is in use by process {process.pid}"
        assert f"homma down --dir {tmp_path}" in error.value.remedy
        assert process.poll() is None
        owner = owner_of(tmp_path)
        assert owner is not None
        assert owner.pid == process.pid


def test_a_folder_given_back_can_be_had(tmp_path: Path) -> None:
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


def test_a_lock_with_any_content_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("not a lock of homma's")
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


def test_a_number_that_went_to_another_process_is_left_alone(
    tmp_path: Path, server: "subprocess.Popen[bytes]"
) -> None:
    with claim(tmp_path) as folder:
        created = psutil.Process(server.pid).create_time() - 3600
        folder.note(Status("kafka", State.RUNNING, 0.0, server.pid, created), {})
    with claim(tmp_path) as folder:
        assert folder.leftovers.ended == ()
    assert server.poll() is None


def test_the_record_says_what_runs(tmp_path: Path) -> None:
    one = Status("kafka", State.RUNNING, 5.0, 7, 4.0, restarts=1, last_exit=-9, trouble="x")
    two = Status("weed", State.WAITING, 6.0)
    with claim(tmp_path) as folder:
        folder.note(one, {"broker": 9092, "controller": 9093})
        folder.note(two, {})
        record = read_record(tmp_path)
        assert record.owner == Owner(os.getpid(), psutil.Process().create_time())
        assert [(entry.status, entry.ports) for entry in record.entries] == [
            (one, {"broker": 9092, "controller": 9093}),
            (two, {}),
        ]
        assert isinstance(record.entries[0].status.state, State)


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    over = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not over.is_set():
            seen.append(len(read_record(tmp_path).entries))

    with claim(tmp_path) as folder:
        reader = threading.Thread(target=read)
        reader.start()
        for number in range(300):
            folder.note(Status(f"p{number % 20}", State.RUNNING, float(number), 1, 2.0), {})
        over.set()
        reader.join()
    assert seen == sorted(seen)
    assert {path.name for path in tmp_path.iterdir()} == {LOCK, NAME}


def test_nobody_has_run_anything_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert read_record(path).entries == ()
    assert owner_of(path) is None
    assert end_owner(path).owner is None
    assert not path.exists()


def test_down_ends_the_owner_and_what_it_left(
    tmp_path: Path, server: "subprocess.Popen[bytes]"
) -> None:
    with other_owner(tmp_path, server.pid) as process:
        # Somebody has to clear the killed process away, as its shell would.
        threading.Thread(target=process.wait).start()
        left = end_owner(tmp_path, grace_s=20.0)
        assert left.owner == process.pid
        assert [status.pid for status in left.ended] == [server.pid]
        assert process.wait() == -signal.SIGTERM
        assert server.wait() == -signal.SIGTERM
    assert owner_of(tmp_path) is None


def test_what_the_owner_starts_does_not_keep_the_folder(tmp_path: Path) -> None:
    with claim(tmp_path):
        other = subprocess.Popen(["sleep", "600"], close_fds=False)
    with other:
        claim(tmp_path).release()
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"owner": null}', '{"owner": 3, "processes": []}']
)
def test_a_spoilt_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StackError, match=rf"{NAME} is not a record.*; delete it"):
        claim(tmp_path)
    assert owner_of(tmp_path) is None
    (tmp_path / NAME).unlink()
    claim(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"file/data cannot be used: .*; choose another"):
        claim(tmp_path / "file" / "data")
