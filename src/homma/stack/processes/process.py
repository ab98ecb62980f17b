"""One supervised process: started, watched, restarted after a crash, stopped cleanly.

Its states: stopped ──start──▶ starting ──ready──▶ running ──stop──▶ stopping ──▶ stopped
                                   ▲                  │ crash
                                   └──── waiting ◀────┴──too often──▶ failed
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from homma.errors import HommaError, PortInUse, ServerFailed
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.child import Child
from homma.stack.processes.log import lines_since, open_log, size_of

POLL_S: Final = 0.05
# Added to the grace period, so that the guard's own SIGKILL comes first.
KILL_MARGIN_S: Final = 5.0


class State(StrEnum):
    """The state of a process."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a process.

    `pid` and `created` (epoch seconds, from psutil) belong to the running process, or are None.
    `since` is when `state` began, in epoch seconds. `last_exit` is the return code of the last
    run that was not stopped (negative: a signal number); `trouble` is the reason, if known.
    """

    name: str
    state: State
    since: float
    pid: int | None = None
    created: float | None = None
    restarts: int = 0
    last_exit: int | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run, and how to supervise it.

    `env` and `cwd` default to those of this process. `ready` is polled until it returns True, for
    at most `ready_within_s`; without it a process is ready at once. A stop sends SIGTERM and,
    after `stop_within_s`, SIGKILL. `restart` creates the policy for crashes; without it a crash
    is final. Output goes to `log`; `own_log` is a log file that the program writes itself. When a
    run fails, `explain` picks the line of these that says why; by default the last line.
    `taken_port` finds in them that another program has taken a port since it was checked.
    """

    name: str
    argv: Sequence[str]
    log: Path
    own_log: Path | None = None
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_within_s: float = 60.0
    stop_within_s: float = 10.0
    restart: Callable[[], Backoff] | None = None
    explain: Callable[[Sequence[str]], str] | None = None
    taken_port: Callable[[Sequence[str]], PortInUse | None] | None = None


class Process:
    """A program under supervision.

    `on_change` is called with each new status, from the thread that caused it. `clock` returns
    monotonic seconds, `now` epoch seconds, and `wait` waits for an event with a timeout in
    seconds and returns whether the event was set.
    """

    def __init__(
        self,
        program: Program,
        on_change: Callable[[Status], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self.program = program
        self._on_change = on_change
        self._clock = clock
        self._now = now
        self._wait = wait
        self._stopping = threading.Event()
        # One spawn or stop at a time: a stop must not miss a process that is being started.
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._started = 0.0
        self._offsets: dict[Path, int] = {}
        self._watcher: threading.Thread | None = None
        self._status = Status(program.name, State.STOPPED, now())

    @property
    def status(self) -> Status:
        """The current status."""
        return self._status

    def start(self) -> None:
        """Launch the program, and wait until it is ready. Raises what these two raise."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the program without waiting for it. Raises ServerFailed if it cannot be started.

        `wait_until_ready` must follow: until then, nobody notices its end.
        """
        self._stopping.clear()
        try:
            self._spawn()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self) -> None:
        """Wait until the launched program is ready, and watch it from then on.

        Raises ServerFailed, or the error of `taken_port`, if the program ends before or is not
        ready in time; then nothing keeps running.
        """
        child = self._child
        assert child is not None
        try:
            self._poll_readiness(child)
        except BaseException:
            # Also on Ctrl-C.
            self.stop()
            raise
        policy = self.program.restart
        self._watcher = threading.Thread(
            target=self._watch,
            args=[child, policy() if policy else None],
            name=f"watch {self.program.name}",
            daemon=True,
        )
        self._watcher.start()

    def stop(self) -> None:
        """Stop the program, by force if needed, and wait for its end. No-op if it does not run."""
        self._stopping.set()
        with self._lock:
            child = self._child
        if child is not None and not child.wait(0):
            self._set_state(State.STOPPING)
            child.request_stop()
            if not child.wait(self.program.stop_within_s + KILL_MARGIN_S):
                child.kill()
                child.wait()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        if self._status.state is not State.FAILED:
            self._set_state(State.STOPPED, pid=None, created=None)

    def _spawn(self) -> Child:
        program = self.program
        with self._lock:
            if self._stopping.is_set():
                raise ServerFailed(f"{program.name} was stopped", f"start {program.name} again")
            with open_log(program.log) as log:
                self._offsets = {path: size_of(path) for path in self._logs()}
                child = Child(program.argv, log, program.stop_within_s, program.env, program.cwd)
            self._child = child
            self._started = self._clock()
        self._set_state(State.STARTING, pid=child.pid, created=child.created)
        return child

    def _poll_readiness(self, child: Child) -> None:
        """Poll readiness. Raises ServerFailed if the program ends, is stopped or takes too long."""
        program = self.program
        deadline = self._clock() + program.ready_within_s
        while not child.wait(0):
            if program.ready is None or program.ready():
                self._set_state(State.RUNNING, trouble=None)
                return
            if self._stopping.is_set():
                raise ServerFailed(f"{program.name} was stopped", f"start {program.name} again")
            if self._clock() >= deadline:
                raise self._failure(f"was not ready within {program.ready_within_s:g} s")
            child.wait(POLL_S)
        self._status = replace(self._status, last_exit=child.code)
        raise self._failure(f"ended with {exit_text(child.code)} before it was ready")

    def _logs(self) -> list[Path]:
        logs = (self.program.log, self.program.own_log)
        return [path for path in logs if path is not None]

    def _failure(self, what: str) -> HommaError:
        """The error for a failed run, with the line of its logs that says why."""
        written = {path: lines_since(path, offset) for path, offset in self._offsets.items()}
        lines = [line for path in written for line in written[path]]
        taken = self.program.taken_port(lines) if self.program.taken_port else None
        if taken is not None:
            return taken
        why = (self.program.explain or _last)(lines) if lines else ""
        path = next((path for path in written if why in written[path]), self._logs()[-1])
        detail = f": {why}" if why else " without any output"
        return ServerFailed(f"{self.program.name} {what}{detail}", f"see {path}")

    def _watch(self, child: Child, backoff: Backoff | None) -> None:
        """Wait for the end of each run and start the next, until a stop is requested."""
        trouble: str | None = None
        while True:
            child.wait()
            if self._stopping.is_set():
                return
            code = child.code
            trouble = trouble or f"ended with {exit_text(code)}"
            delay = backoff.after(self._clock() - self._started) if backoff else None
            state = State.FAILED if delay is None else State.WAITING
            self._set_state(state, pid=None, created=None, last_exit=code, trouble=trouble)
            if delay is None or self._wait(self._stopping, delay):
                return
            child, trouble = self._start_again(child)

    def _start_again(self, ended: Child) -> tuple[Child, str | None]:
        """Start the program again; return the run, and the error if it is not ready."""
        self._status = replace(self._status, restarts=self._status.restarts + 1)
        child = ended
        try:
            child = self._spawn()
            self._poll_readiness(child)
        except Exception as error:  # noqa: BLE001 - any failure counts as another crash
            if child is not ended:
                child.request_stop()
                if not child.wait(self.program.stop_within_s + KILL_MARGIN_S):
                    child.kill()
            return child, str(error)
        return child, None

    def _set_state(self, state: State, **changes: object) -> None:
        since = self._status.since if state is self._status.state else self._now()
        self._status = replace(self._status, state=state, since=since, **changes)  # type: ignore[arg-type]
        if self._on_change is None:
            return
        try:
            self._on_change(self._status)
        except Exception as error:  # noqa: BLE001 - a listener's error must not end the watch
            self._status = replace(
                self._status, trouble=f"its status could not be recorded: {error}"
            )


def _last(lines: Sequence[str]) -> str:
    return lines[-1]


def exit_text(code: int | None) -> str:
    """Describe a return code in words."""
    if code is None:
        return "an unknown exit"
    return f"signal {-code}" if code < 0 else f"exit status {code}"
