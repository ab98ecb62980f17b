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
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.log import KEEP_BYTES, lines_since, open_log
from homma.stack.processes.process import Process, Program, State, Status
from homma.stack.processes.process_ids import is_alive, terminate
from tests.support.waiting import NEVER_S, until

Supervise = Callable[..., Process]
SLEEPER = ["sleep", "600"]
# Prints a line once its trap is set, which counts as ready.
DEAF = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"]
POLITE = ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.05; done"]

# The shell does not wait for its child.
FAMILY = ["sh", "-c", "sleep 600 & echo $! started; exec sleep 600"]


def pids(process: Process) -> tuple[int, int]:
    """The pids of the server and of its guard."""
    child = process._child
    assert child is not None
    return child.pid, child.guard_pid


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def logged(log: Path, word: str) -> Callable[[], bool]:
    return lambda: log.exists() and word in log.read_text()


def test_delays_double_up_to_a_limit_and_then_end() -> None:
    backoff = Backoff(first_s=0.5, most_s=4.0, healthy_s=60.0, attempts=6)
    assert [backoff.after(1.0) for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, None]


def test_a_long_run_resets_the_count_of_crashes() -> None:
    backoff = Backoff(first_s=0.5, healthy_s=60.0, attempts=3)
    assert [backoff.after(ran) for ran in (1, 1, 59.9, 60.0, 1, 1, 1)] == [
        *(0.5, 1.0, 2.0),
        *(0.5, 1.0, 2.0),
        None,
    ]


def test_a_process_starts_and_stops_cleanly(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "polite.log"
    statuses: list[Status] = []
    process = supervise(
        Program("polite", POLITE, log, ready=logged(log, "here")), on_change=statuses.append
    )
    process.start()
    server, guard = pids(process)
    status = process.status
    assert (status.state, status.pid) == (State.RUNNING, server)
    assert is_alive(server, status.created or 0)
    process.stop()
    assert log.read_text() == "here\nbye\n"
    assert not is_running(server)
    assert not is_running(guard)
    assert [status.state for status in statuses] == ["starting", "running", "stopping", "stopped"]
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


def test_a_program_has_its_own_environment_and_folder(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = ["sh", "-c", "echo $WORD; pwd; exec sleep 600"]
    environment = {"WORD": "value", "PATH": os.environ["PATH"]}
    where = str(tmp_path.resolve())
    process = supervise(
        Program("printer", argv, log, env=environment, cwd=tmp_path, ready=logged(log, where))
    )
    process.start()
    assert log.read_text() == f"value\n{where}\n"


# A guard whose server needs half a second from fork to exec.
SLOW_GUARD = """
import sys, time
from homma.stack.processes import guard
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
        with os.fdopen(reader) as lines:
            assert lines.readline().startswith("pid ")
            assert guard.stdin is not None
            guard.stdin.close()
            # Before the grace period of an hour ends.
            ended = select.select([lines], [], [], NEVER_S)[0]
            line = lines.readline() if ended else "nothing"
            os.killpg(guard.pid, signal.SIGKILL)
        assert line == f"exit {-signal.SIGTERM}\n"


def test_a_server_that_ignores_sigterm_is_killed(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = supervise(Program("deaf", DEAF, log, ready=logged(log, "deaf"), stop_within_s=0.2))
    process.start()
    server, guard = pids(process)
    process.stop()
    assert not is_running(server)
    assert not is_running(guard)


def test_children_of_the_server_end_with_it(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = supervise(Program("family", FAMILY, log, ready=logged(log, "started")))
    process.start()
    grandchild = int(log.read_text().split()[0])
    assert is_running(grandchild)
    process.stop()
    until(lambda: not is_running(grandchild))


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


def test_a_crashed_server_is_restarted_and_its_status_shows_it(
    supervise: Supervise, tmp_path: Path
) -> None:
    statuses: list[Status] = []
    process = supervise(
        Program("sleeper", SLEEPER, tmp_path / "log", restart=Backoff),
        on_change=statuses.append,
        wait=lambda event, _: event.is_set(),
    )
    process.start()
    first, _ = pids(process)
    os.kill(first, signal.SIGKILL)
    until(lambda: process.status.restarts == 1 and process.status.state is State.RUNNING)
    second, _ = pids(process)
    assert second != first
    assert is_running(second)
    assert process.status.last_exit == -signal.SIGKILL
    waiting = next(status for status in statuses if status.state is State.WAITING)
    assert (waiting.pid, waiting.trouble) == (None, "ended with signal 9")


def test_it_gives_up_after_repeated_crashes(supervise: Supervise, tmp_path: Path) -> None:
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


def test_a_server_that_ends_before_it_is_ready_is_reported_with_its_last_line(
    supervise: Supervise, tmp_path: Path
) -> None:
    argv = ["sh", "-c", "echo no money left; exit 3"]
    process = supervise(Program("poor", argv, tmp_path / "poor.log", ready=lambda: False))
    with pytest.raises(ServerFailed) as error:
        process.start()
    assert error.value.problem == "poor ended with exit status 3 before it was ready: no money left"
    assert error.value.remedy == f"see {tmp_path / 'poor.log'}"
    assert process.status.last_exit == 3


def test_the_last_line_is_from_this_run(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an older error\n")
    process = supervise(Program("mute", ["false"], log, ready=lambda: False))
    with pytest.raises(ServerFailed, match="without any output"):
        process.start()


def test_a_server_that_is_not_ready_in_time_is_ended(supervise: Supervise, tmp_path: Path) -> None:
    hours = iter(range(0, 1_000_000, 3600))
    process = supervise(
        Program("slow", SLEEPER, tmp_path / "log", ready=lambda: False, ready_within_s=7200.0),
        clock=lambda: float(next(hours)),
    )
    with pytest.raises(ServerFailed, match="slow was not ready within 7200 s"):
        process.start()
    assert not is_running(pids(process)[0])


def test_programs_are_launched_together_and_awaited_in_turn(
    supervise: Supervise, tmp_path: Path
) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    first, second = (
        supervise(Program(log.stem, POLITE, log, ready=logged(log, "here"))) for log in logs
    )
    for process in (first, second):
        process.launch()
        assert process.status.state is State.STARTING
    second.wait_until_ready()
    first.wait_until_ready()
    assert first.status.state is second.status.state is State.RUNNING


def test_a_launched_program_that_ends_is_reported_when_it_is_awaited(
    supervise: Supervise, tmp_path: Path
) -> None:
    process = supervise(Program("brief", ["sh", "-c", "echo no; exit 3"], tmp_path / "log"))
    process.launch()
    until(lambda: not is_running(pids(process)[0]))
    with pytest.raises(ServerFailed, match="brief ended with exit status 3 before it was ready"):
        process.wait_until_ready()


def test_a_launched_program_can_be_stopped(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(Program("sleeper", SLEEPER, tmp_path / "log", ready=lambda: False))
    process.launch()
    process.stop()
    assert not is_running(pids(process)[0])
    with pytest.raises(ServerFailed):
        process.wait_until_ready()


def test_a_broken_readiness_check_leaves_nothing_behind(
    supervise: Supervise, tmp_path: Path
) -> None:
    def broken() -> bool:
        raise ValueError("a bug")

    process = supervise(Program("fine", SLEEPER, tmp_path / "log", ready=broken))
    with pytest.raises(ValueError, match="a bug"):
        process.start()
    assert not is_running(pids(process)[0])


def test_a_missing_program_is_reported(supervise: Supervise, tmp_path: Path) -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="on other systems the parent ends the server")
def test_the_server_of_a_killed_guard_is_killed_at_once(tmp_path: Path) -> None:
    with parent(tmp_path, "plain", DEAF) as (process, server, guard):
        # While suspended, the parent cannot end the server.
        process.suspend()
        os.kill(guard, signal.SIGKILL)
        until(lambda: not is_running(server))
        process.resume()


def test_a_server_is_restarted_after_its_guard_was_killed(
    supervise: Supervise, tmp_path: Path
) -> None:
    program = Program("sleeper", SLEEPER, tmp_path / "log", restart=Backoff)
    process = supervise(program, wait=lambda event, _: event.is_set())
    process.start()
    server, guard = pids(process)
    os.kill(guard, signal.SIGKILL)
    until(lambda: process.status.restarts == 1 and process.status.state is State.RUNNING)
    assert not is_running(server)
    assert is_running(pids(process)[0])


def test_a_killed_guard_leaves_no_children_of_the_server(
    supervise: Supervise, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    process = supervise(Program("family", FAMILY, log, ready=logged(log, "started")))
    process.start()
    grandchild = int(log.read_text().split()[0])
    os.kill(pids(process)[1], signal.SIGKILL)
    until(lambda: not is_running(grandchild))


def test_a_killed_parent_leaves_no_children_of_the_server(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with parent(tmp_path, "plain", FAMILY) as (process, _, _):
        until(logged(log, "started"))
        grandchild = int(log.read_text().split()[0])
        process.kill()
        until(lambda: not is_running(grandchild))


def test_a_terminated_guard_stops_its_server_cleanly(supervise: Supervise, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = supervise(Program("polite", POLITE, log, ready=logged(log, "here")))
    process.start()
    server, guard = pids(process)
    os.kill(guard, signal.SIGTERM)
    until(lambda: process.status.state is State.FAILED)
    assert logged(log, "bye")()
    assert not is_running(server)


@contextmanager
def parent(folder: Path, kind: str, argv: list[str]) -> Iterator[tuple[psutil.Process, int, int]]:
    """Run parent.py; yield its process and the pids of server and guard."""
    script = Path(__file__).with_name("parent.py")
    log = folder / "server.log"
    command = [sys.executable, str(script), str(log), kind, *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())
        try:
            yield psutil.Process(process.pid), pids["server"], pids["guard"]
        finally:
            log.with_name("server.log.over").touch()
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("argv", [SLEEPER, DEAF], ids=["sleeper", "deaf"])
def test_no_server_outlives_its_parent(
    tmp_path: Path, number: signal.Signals, argv: list[str]
) -> None:
    with parent(tmp_path, "plain", argv) as (process, server, guard):
        assert is_running(server)
        assert is_running(guard)
        process.send_signal(number)
        until(lambda: not is_running(server) and not is_running(guard))


def test_the_server_of_a_killed_parent_may_stop_cleanly(tmp_path: Path) -> None:
    with parent(tmp_path, "plain", POLITE) as (process, server, _):
        until(logged(tmp_path / "server.log", "here"))
        process.kill()
        until(lambda: not is_running(server))
    assert logged(tmp_path / "server.log", "bye")()


def test_no_server_outlives_its_parent_even_if_a_fork_keeps_the_pipe_open(tmp_path: Path) -> None:
    with parent(tmp_path, "fork", SLEEPER) as (process, server, guard):
        fork = until(lambda: [child for child in process.children() if child.pid != guard])[0]
        process.kill()
        until(lambda: not is_running(server) and not is_running(guard))
        assert is_running(fork.pid)


def test_only_the_process_with_the_same_start_is_ended() -> None:
    with subprocess.Popen(SLEEPER) as process:
        created = psutil.Process(process.pid).create_time()
        # The same pid with another start time is another process, and is left alone.
        assert not is_alive(process.pid, created - 3600)
        assert terminate(process.pid, created - 3600, grace_s=0.1)
        assert process.poll() is None
        assert is_alive(process.pid, created)
        assert terminate(process.pid, created, grace_s=10)
        assert process.wait() == -signal.SIGTERM


def test_a_large_log_is_rotated_at_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (KEEP_BYTES + 1))
    with open_log(log) as file:
        file.write(b"new")
    assert log.read_bytes() == b"new"
    assert (tmp_path / "log.1").stat().st_size == KEEP_BYTES + 1


def test_stack_frames_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    offset = log.stat().st_size
    with log.open("a") as file:
        file.write("java.io.IOException: no room\n\tat java.base/A.b(A.java:1)\n\t... 3 more\n\n")
    assert lines_since(log, offset) == ["java.io.IOException: no room"]
    log.write_text("new\n")
    assert lines_since(log, offset) == ["new"]
