"""The guard: a small program between homma and a server, so that no server is left behind.

    homma ──pipe──▶ guard ──fork──▶ server        guard and server: a session of their own

It is run by file name, with the standard library alone (`python -I -S guard.py …`). What it does:

- It starts the server and tells its pid on the status pipe, later `exit` and its return code.
- When the pipe from homma closes, or homma is no longer its parent, it sends SIGTERM, waits for
  the grace period, then sends SIGKILL. homma stops a server by closing the pipe, too: there is
  one way to stop, and it is the one that also works when homma was killed with -9.
- When the guard itself is killed with -9, the kernel ends the server (Linux, PR_SET_PDEATHSIG),
  and homma ends what is left of the process group (everywhere).
- At the end it kills its own process group, itself included, so that what the server started and
  did not wait for goes with it. No process outside of that group is ever signalled.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
# How soon a lost parent is noticed when a fork of it still holds the pipe open.
LOOK_S = 1.0
CANNOT_RUN = 127
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What the guard or its interpreter treats in its own way, and the server must not inherit.
RESTORED = (*STOPS, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


def main(argv: list[str]) -> None:
    """Run `argv[4:]`; argv[1:4] are homma's pid, the status pipe's number, the grace seconds."""
    parent, status, grace_s = int(argv[1]), int(argv[2]), float(argv[3])
    # The server must not inherit it: its end would not be seen.
    os.set_inheritable(status, False)
    wake = _wake_on_signals()
    child = _start(argv[4:])
    _tell(status, f"pid {child}\n")
    code = _watch(child, parent, grace_s, wake)
    _tell(status, f"exit {code}\n")
    os.killpg(0, signal.SIGKILL)


class _StopSignal:
    """Whether a signal asked the guard to stop its server."""

    stop = False


def _wake_on_signals() -> int:
    """Make signals end a select() on the descriptor that is returned."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def ask(*_: object) -> None:
        _StopSignal.stop = True

    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in STOPS:
        signal.signal(number, ask)
    # homma's end of the status pipe may be gone: that must not end the guard before its server.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return reader


def _start(command: list[str]) -> int:
    guard = os.getpid()
    die_with_guard = _death_signal()
    # A SIGTERM between fork and exec would be taken by the guard's own handler, and be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    child = os.fork()
    if child:
        # Not what was before: a thread of homma's may have blocked signals, and a guard or server
        # that inherits that cannot be stopped.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return child
    try:
        die_with_guard()
        if os.getppid() != guard:
            # The guard died between fork and prctl, so nobody would end this process.
            os._exit(CANNOT_RUN)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_RUN)


def _death_signal() -> Callable[[], None]:
    """Give what makes the kernel kill the calling process when its parent dies, if it can."""
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)

    def ask_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return ask_kernel


def _watch(child: int, parent: int, grace_s: float, wake: int) -> int:
    """Wait for the child's end, or bring it about; give its return code (negative: a signal)."""
    pipe = sys.stdin.fileno()
    sources = [pipe, wake]
    kill_at: float | None = None
    while True:
        done, state = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(state)
        if kill_at is None and (pipe not in sources or _StopSignal.stop or os.getppid() != parent):
            os.kill(child, signal.SIGTERM)
            kill_at = time.monotonic() + grace_s
        elif kill_at is not None and time.monotonic() >= kill_at:
            os.kill(child, signal.SIGKILL)
            kill_at = float("inf")
        pause_s = LOOK_S if kill_at is None else min(LOOK_S, max(0.0, kill_at - time.monotonic()))
        readable = select.select(sources, [], [], pause_s)[0]
        if wake in readable:
            os.read(wake, 512)
        if pipe in readable and not os.read(pipe, 512):
            sources.remove(pipe)


def _tell(status: int, line: str) -> None:
    try:
        os.write(status, line.encode())
    except OSError:
        # homma is gone, and with it everyone who wanted to know.
        return


if __name__ == "__main__":
    main(sys.argv)
