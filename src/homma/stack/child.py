"""One server behind its guard: start it, ask it to stop, know when it has ended."""

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
from homma.stack.process_ids import wait_gone

GUARD: Final = Path(__file__).with_name("guard.py")
# An interpreter with the standard library alone starts in a fraction of this.
GUARD_START_S: Final = 30.0
# What the kernel may take to clear away a killed process.
GONE_S: Final = 10.0


class Child:
    """A running server. It ends, at the latest, when this process does.

    `pid` is the server's, `guard_pid` its guard's, `created` the server's start in epoch seconds
    as psutil gives it, which together with the pid names a process for good.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: IO[bytes],
        grace_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `argv` with its output to `log`; a stop may take `grace_s` before it is killed.

        Raises ServerFailed when not even the guard can be started.
        """
        self.code: int | None = None
        self.pid = 0
        self.created = 0.0
        self._ended = threading.Event()
        self._known = threading.Event()
        self._turn = threading.Lock()
        self._reaped = False
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
                # Ctrl-C in the terminal is for homma, which stops its servers in order.
                start_new_session=True,
            )
        except OSError as error:
            os.close(reader)
            raise ServerFailed(f"{argv[0]} cannot be started: {error}", "see to that") from error
        finally:
            os.close(writer)
        self.guard_pid = self._guard.pid
        threading.Thread(target=self._follow, args=[reader], daemon=True).start()
        try:
            known = self._known.wait(GUARD_START_S)
        except BaseException:
            # Ctrl-C: nobody will ever hold this object to stop it.
            self.kill()
            raise
        if not known or not self.pid:
            self.kill()
            raise ServerFailed(f"the guard of {argv[0]} did not start", "look into its log")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the server's end; whether it has ended. Then `code` is its return code."""
        return self._ended.wait(timeout_s)

    def ask_to_stop(self) -> None:
        """Let the guard end the server: SIGTERM, the grace period, SIGKILL. Returns at once."""
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.close()

    def kill(self) -> None:
        """End guard and server at once and hard."""
        self._kill_group()

    def _follow(self, reader: int) -> None:
        """Read what the guard tells, until it is gone."""
        with os.fdopen(reader, "r", encoding="ascii") as lines:
            for line in lines:
                word, number = line.split()
                if word == "pid":
                    self._born(int(number))
                else:
                    self.code = int(number)
        self._kill_group()
        with self._turn:
            self._guard.wait()
            self._reaped = True
        self._until_gone()
        if self.code is None:
            self.code = -signal.SIGKILL
        self._ended.set()
        self._known.set()

    def _born(self, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            self.created = psutil.Process(pid).create_time()
        self.pid = pid
        self._known.set()

    def _kill_group(self) -> None:
        # Only while the guard is not waited for is its number, and so its group, surely its own.
        with self._turn, contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._reaped:
                os.killpg(self.guard_pid, signal.SIGKILL)

    def _until_gone(self) -> None:
        """Wait for a server whose guard was killed: its ports and files are free only then."""
        if self.code is None and self.created:
            wait_gone(self.pid, self.created, GONE_S)
