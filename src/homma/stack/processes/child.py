"""One server and its guard: start it, request a stop, wait for its end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import psutil

from homma.errors import ServerFailed
from homma.stack.processes.process_ids import wait_for_end

GUARD: Final = Path(__file__).with_name("guard.py")
# An interpreter with only the standard library starts in a fraction of this.
GUARD_START_S: Final = 30.0
# The time that the kernel may need to remove a killed process.
KILL_TIMEOUT_S: Final = 10.0


class Child:
    """A running server, which ends no later than this process.

    `pid` is the server's, `guard_pid` its guard's. `created` is the server's start in epoch
    seconds, from psutil; pid and start together identify a process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: IO[bytes],
        grace_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `argv` with its output in `log`; a stop sends SIGKILL after `grace_s`.

        Raises ServerFailed if the guard cannot be started.
        """
        self.code: int | None = None
        self.pid = 0
        self.created = 0.0
        self._ended = threading.Event()
        self._started = threading.Event()
        self._lock = threading.Lock()
        self._is_reaped = False
        reader, writer = os.pipe()
        options = [str(os.getpid()), str(writer), str(grace_s)]
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), *options, *argv],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[writer],
                env=env,
                cwd=cwd,
                # Ctrl-C in the terminal goes to homma only, which stops its servers cleanly.
                start_new_session=True,
            )
        except OSError as error:
            os.close(reader)
            raise ServerFailed(
                f"{argv[0]} cannot be started: {error}",
                f"check that {sys.executable} and the working folder exist, and that the limits "
                "on processes and memory are not reached",
            ) from error
        finally:
            os.close(writer)
        self.guard_pid = self._guard.pid
        threading.Thread(target=self._read_status, args=[reader], daemon=True).start()
        try:
            has_started = self._started.wait(GUARD_START_S)
        except BaseException:
            # Ctrl-C: the caller never gets this object, so it cannot stop the server.
            self.kill()
            raise
        if not has_started or not self.pid:
            self.kill()
            raise ServerFailed(f"the guard of {argv[0]} did not start", "see its log")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the server's end; whether it has ended. Then `code` is its return code."""
        return self._ended.wait(timeout_s)

    def request_stop(self) -> None:
        """Make the guard end the server (SIGTERM, grace period, SIGKILL). Returns at once."""
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.close()

    def kill(self) -> None:
        """Kill the guard and the server at once."""
        self._kill_group()

    def _read_status(self, reader: int) -> None:
        """Read the guard's status lines until it ends."""
        with os.fdopen(reader, "r", encoding="ascii") as lines:
            for line in lines:
                word, number = line.split()
                if word == "pid":
                    self._on_started(int(number))
                else:
                    self.code = int(number)
        self._kill_group()
        with self._lock:
            self._guard.wait()
            self._is_reaped = True
        self._wait_for_server()
        if self.code is None:
            self.code = -signal.SIGKILL
        self._ended.set()
        self._started.set()

    def _on_started(self, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            self.created = psutil.Process(pid).create_time()
        self.pid = pid
        self._started.set()

    def _kill_group(self) -> None:
        # Until the guard is reaped, its pid and so its process group cannot be reused.
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._is_reaped:
                os.killpg(self.guard_pid, signal.SIGKILL)

    def _wait_for_server(self) -> None:
        """Wait for the end of a server whose guard was killed, which frees its ports and files."""
        if self.code is None and self.created:
            wait_for_end(self.pid, self.created, KILL_TIMEOUT_S)
