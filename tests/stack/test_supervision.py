import json
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from homma.errors import ServerFailed
from homma.stack.backoff import Backoff
from homma.stack.log import KEEP_BYTES, lines_since, open_log
from homma.stack.process import Process, Program, State, Status
from homma.stack.process_ids import alive, end
from tests.stack.waiting import NEVER_S, until

Supervise = Callable[..., Process]
SLEEPER = ["sleep", "600"]
# Says that it is there before anybody can take it for ready.
DEAF = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"]
POLITE = ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.05; done"]

# The shell does not wait for what it has started.
FAMILY = ["sh", "-c", "sleep 600 & echo $! started; exec sleep 600"]


def pids(process: Process) -> tuple[int, int]:
    """Give the server's and the guard's."""
    child = process._child
    assert child is not None
    return child.pid, child.guard_pid


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def says(log: Path, word: str) -> Callable[[], bool]:
    return lambda: log.exists() and word in log.read_text()


def test_waits_double_up_to_a_bound_and_then_end() -> None:
    backoff = Backoff(first_s=0.5, most_s=4.0, healthy_s=60.0, attempts=6)
    assert [backoff.after(1.0) for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, None]


def test_a_long_run_forgives_the_crashes_before_it() -> None:
    backoff = Backoff(first_s=0.5, healthy_s=60.0, attempts=3)
    assert [backoff.after(ran) for ran in (1, 1, 59.9, 60.0, 1, 1, 1)] == [
        *(0.5, 1.0, 2.0),
        *(0.5, 1.0, 2.0),
        None,
    ]


def test_a_process_starts_and_stops_in_order(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "polite.log"
    told: list[Status] = []
    process = supervise(
        Program("polite", POLITE, log, ready=says(log, "here")), on_change=told.append
    )
    process.start()
    server, guard = pids(process)
    status = process.status
    assert (status.state, status.pid) == (State.RUNNING, server)
    assert alive(server, status.created or 0)
    process.stop()
    assert log.read_text() == "here\nbye\n"
    assert not runs(server)
    assert not runs(guard)
    assert [status.state for status in told] == ["starting", "running", "stopping", "stopped"]
    assert process.status.pid is None
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_it_can_be_started_again(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(Program("sleeper", SLEEPER, tmp_path / "log"))
    process.start()
    first = process.status.pid
    process.stop()
    process.start()
    assert process.status.state is State.RUNNING
    assert process.status.pid != first


def test_environment_and_folder_are_the_programs(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = ["sh", "-c", "echo $WORD; pwd; exec sleep 600"]
    environment = {"WORD": "given", "PATH": os.environ["PATH"]}
    where = str(tmp_path.resolve())
    process = supervise(
        Program("said", argv, log, env=environment, cwd=tmp_path, ready=says(log, where))
    )
    process.start()
    assert log.read_text() == f"given\n{where}\n"


# A guard whose server is slow to get from fork to exec.
SLOW_GUARD = """
import sys, time
from homma.stack import guard
guard._death_signal = lambda: lambda: time.sleep(0.5)
guard.main(sys.argv)
"""


def test_a_stop_right_after_the_start_is_not_lost() -> None:
    reader, writer = os.pipe()
    options = [str(os.getpid()), str(writer), "3600"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_GUARD, *options, *SLEEPER],
        stdin=subprocess.PIPE,
        pass_fds=[writer],
        start_new_session=True,
    ) as guard:
        os.close(writer)
        with os.fdopen(reader) as told:
            assert told.readline().startswith("pid ")
            assert guard.stdin is not None
            guard.stdin.close()
            # Before the grace period of an hour is over.
            ended = select.select([told], [], [], NEVER_S)[0]
            said = told.readline() if ended else "nothing"
            os.killpg(guard.pid, signal.SIGKILL)
        assert said == f"exit {-signal.SIGTERM}\n"


def test_a_server_that_ignores_sigterm_is_killed(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = supervise(Program("deaf", DEAF, log, ready=says(log, "deaf"), stop_within_s=0.2))
    process.start()
    server, guard = pids(process)
    process.stop()
    assert not runs(server)
    assert not runs(guard)


def test_what_the_server_started_goes_with_it(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = supervise(Program("family", FAMILY, log, ready=says(log, "started")))
    process.start()
    grandchild = int(log.read_text().split()[0])
    assert runs(grandchild)
    process.stop()
    until(lambda: not runs(grandchild))


def test_blocked_signals_are_not_passed_on(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(Program("sleeper", SLEEPER, tmp_path / "log", stop_within_s=1.0))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    child = process._child
    process.stop()
    assert child is not None
    assert child.code == -signal.SIGTERM


def test_a_crashed_server_is_started_again_and_that_shows(
    supervise: Supervise, tmp_path: Path
) -> None:
    told: list[Status] = []
    process = supervise(
        Program("sleeper", SLEEPER, tmp_path / "log", restart=Backoff),
        on_change=told.append,
        wait=lambda event, _: event.is_set(),
    )
    process.start()
    first, _ = pids(process)
    os.kill(first, signal.SIGKILL)
    until(lambda: process.status.restarts == 1 and process.status.state is State.RUNNING)
    second, _ = pids(process)
    assert second != first
    assert runs(second)
    assert process.status.last_exit == -signal.SIGKILL
    waiting = next(status for status in told if status.state is State.WAITING)
    assert (waiting.pid, waiting.trouble) == (None, "ended with signal 9")


def test_it_gives_up_after_crashes_without_end(supervise: Supervise, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    argv = ["sh", "-c", f"while [ -e {flag} ]; do sleep 0.02; done; echo broken; exit 3"]
    waits: list[float] = []

    def wait(event: threading.Event, seconds: float) -> bool:
        waits.append(seconds)
        return event.is_set()

    program = Program("weak", argv, tmp_path / "log", restart=lambda: Backoff(attempts=4))
    process = supervise(program, wait=wait)
    process.start()
    flag.unlink()
    until(lambda: process.status.state is State.FAILED)
    assert waits == [0.5, 1.0, 2.0, 4.0]
    assert process.status.restarts == 4
    assert process.status.last_exit == 3
    process.stop()
    assert process.status.state is State.FAILED


def test_without_a_policy_a_crash_is_final(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(Program("sleeper", SLEEPER, tmp_path / "log"))
    process.start()
    os.kill(pids(process)[0], signal.SIGKILL)
    until(lambda: process.status.state is State.FAILED)
    assert process.status.last_exit == -signal.SIGKILL


def test_a_stop_ends_the_wait_for_a_restart(supervise: Supervise, tmp_path: Path) -> None:
    program = Program(
        "s", SLEEPER, tmp_path / "log", restart=lambda: Backoff(first_s=1e6, most_s=1e6)
    )
    process = supervise(program)
    process.start()
    os.kill(pids(process)[0], signal.SIGKILL)
    until(lambda: process.status.state is State.WAITING)
    process.stop()
    assert process.status.state is State.STOPPED


def test_a_server_that_ends_before_it_is_ready_is_told_with_its_last_words(
    supervise: Supervise, tmp_path: Path
) -> None:
    argv = ["sh", "-c", "echo no money left; exit 3"]
    process = supervise(Program("poor", argv, tmp_path / "poor.log", ready=lambda: False))
    with pytest.raises(ServerFailed) as error:
        process.start()
    assert error.value.what == "poor ended with exit status 3 before it was ready: no money left"
    assert error.value.remedy == f"see {tmp_path / 'poor.log'}"
    assert process.status.last_exit == 3


def test_last_words_are_those_of_this_run(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an older sorrow\n")
    process = supervise(Program("mute", ["false"], log, ready=lambda: False))
    with pytest.raises(ServerFailed, match="and said nothing"):
        process.start()


def test_a_server_that_is_not_ready_in_time_is_ended(supervise: Supervise, tmp_path: Path) -> None:
    hours = iter(range(0, 1_000_000, 3600))
    process = supervise(
        Program("slow", SLEEPER, tmp_path / "log", ready=lambda: False, ready_within_s=7200.0),
        clock=lambda: float(next(hours)),
    )
    with pytest.raises(ServerFailed, match="slow was not ready within 7200 s"):
        process.start()
    assert not runs(pids(process)[0])


def test_a_broken_readiness_check_leaves_nothing_behind(
    supervise: Supervise, tmp_path: Path
) -> None:
    def broken() -> bool:
        raise ValueError("a bug")

    process = supervise(Program("fine", SLEEPER, tmp_path / "log", ready=broken))
    with pytest.raises(ValueError, match="a bug"):
        process.start()
    assert not runs(pids(process)[0])


def test_a_program_that_is_not_there_is_named(supervise: Supervise, tmp_path: Path) -> None:
    argv = [str(tmp_path / "nothing")]
    process = supervise(Program("nothing", argv, tmp_path / "log", ready=lambda: False))
    with pytest.raises(ServerFailed, match=r"/nothing cannot be run: No such file"):
        process.start()


def test_a_listener_that_fails_does_not_end_the_watch(supervise: Supervise, tmp_path: Path) -> None:
    def fail(_: Status) -> None:
        raise OSError("disk full")

    program = Program("sleeper", SLEEPER, tmp_path / "log", restart=Backoff)
    process = supervise(program, on_change=fail, wait=lambda event, _: event.is_set())
    process.start()
    os.kill(pids(process)[0], signal.SIGKILL)
    until(lambda: process.status.restarts == 1 and process.status.state is State.RUNNING)
    assert "disk full" in (process.status.trouble or "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the parent does it, if it lives")
def test_a_killed_guard_takes_the_server_along_at_once(tmp_path: Path) -> None:
    with parent(tmp_path, "plain", DEAF) as (process, server, guard):
        # Stopped, the parent cannot be the one that ends the server.
        process.suspend()
        os.kill(guard, signal.SIGKILL)
        until(lambda: not runs(server))
        process.resume()


def test_a_server_is_started_again_after_its_guard_was_killed(
    supervise: Supervise, tmp_path: Path
) -> None:
    program = Program("sleeper", SLEEPER, tmp_path / "log", restart=Backoff)
    process = supervise(program, wait=lambda event, _: event.is_set())
    process.start()
    server, guard = pids(process)
    os.kill(guard, signal.SIGKILL)
    until(lambda: process.status.restarts == 1 and process.status.state is State.RUNNING)
    assert not runs(server)
    assert runs(pids(process)[0])


def test_a_killed_guard_leaves_nothing_of_what_the_server_started(
    supervise: Supervise, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    process = supervise(Program("family", FAMILY, log, ready=says(log, "started")))
    process.start()
    grandchild = int(log.read_text().split()[0])
    os.kill(pids(process)[1], signal.SIGKILL)
    until(lambda: not runs(grandchild))


def test_a_killed_parent_leaves_nothing_of_what_the_server_started(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with parent(tmp_path, "plain", FAMILY) as (process, _, _):
        until(says(log, "started"))
        grandchild = int(log.read_text().split()[0])
        process.kill()
        until(lambda: not runs(grandchild))


def test_a_terminated_guard_stops_its_server_in_order(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = supervise(Program("polite", POLITE, log, ready=says(log, "here")))
    process.start()
    server, guard = pids(process)
    os.kill(guard, signal.SIGTERM)
    until(lambda: process.status.state is State.FAILED)
    assert says(log, "bye")()
    assert not runs(server)


@contextmanager
def parent(folder: Path, kind: str, argv: list[str]) -> Iterator[tuple[psutil.Process, int, int]]:
    """Run parent.py; give it and the pids of server and guard."""
    script = Path(__file__).with_name("parent.py")
    log = folder / "server.log"
    command = [sys.executable, str(script), str(log), kind, *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        try:
            yield psutil.Process(process.pid), told["server"], told["guard"]
        finally:
            log.with_name("server.log.over").touch()
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("argv", [SLEEPER, DEAF], ids=["sleeper", "deaf"])
def test_no_server_outlives_its_parent(
    tmp_path: Path, number: signal.Signals, argv: list[str]
) -> None:
    with parent(tmp_path, "plain", argv) as (process, server, guard):
        assert runs(server)
        assert runs(guard)
        process.send_signal(number)
        until(lambda: not runs(server) and not runs(guard))


def test_a_killed_parents_server_may_end_in_order(tmp_path: Path) -> None:
    with parent(tmp_path, "plain", POLITE) as (process, server, _):
        until(says(tmp_path / "server.log", "here"))
        process.kill()
        until(lambda: not runs(server))
    assert says(tmp_path / "server.log", "bye")()


def test_no_server_outlives_its_parent_even_if_a_fork_holds_the_pipe(tmp_path: Path) -> None:
    with parent(tmp_path, "fork", SLEEPER) as (process, server, guard):
        fork = until(lambda: [one for one in process.children() if one.pid != guard])[0]
        process.kill()
        until(lambda: not runs(server) and not runs(guard))
        assert runs(fork.pid)


def test_only_the_very_process_is_ended() -> None:
    with subprocess.Popen(SLEEPER) as other:
        created = psutil.Process(other.pid).create_time()
        # The same number, but another process by the time of its start: left alone.
        assert not alive(other.pid, created - 3600)
        assert end(other.pid, created - 3600, grace_s=0.1)
        assert other.poll() is None
        assert alive(other.pid, created)
        assert end(other.pid, created, grace_s=10)
        assert other.wait() == -signal.SIGTERM


def test_a_large_log_is_put_aside_at_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (KEEP_BYTES + 1))
    with open_log(log) as file:
        file.write(b"new")
    assert log.read_bytes() == b"new"
    assert (tmp_path / "log.1").stat().st_size == KEEP_BYTES + 1


def test_stack_frames_are_not_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    offset = log.stat().st_size
    with log.open("a") as file:
        file.write("java.io.IOException: no room\n\tat java.base/A.b(A.java:1)\n\t... 3 more\n\n")
    assert lines_since(log, offset) == ["java.io.IOException: no room"]
    log.write_text("new\n")
    assert lines_since(log, offset) == ["new"]
