"""The guard: a small program between homma and a server that ends the server if homma dies.

    homma ──pipe──▶ guard ──fork──▶ server        guard and server: their own session

It runs by file name, with the standard library only (`python -I -S guard.py …`):

- It starts the server and writes its pid to the status pipe, and later `exit` and its return code.
- When the pipe from homma closes, or homma is no longer its parent, it sends SIGTERM, waits for
  the grace period, then sends SIGKILL. homma also stops a server by closing the pipe, so there is
  only one way to stop, which works after a `kill -9` of homma too.
- When the guard itself is killed with -9, the kernel kills the server (Linux, PR_SET_PDEATHSIG),
  and homma kills the rest of the process group (everywhere).
- At the end it kills its own process group, including itself, so that child processes of the
  server end too. It never signals a process outside of that group.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
# How soon a lost parent is noticed if a fork of it still holds the pipe open.
POLL_S = 1.0
CANNOT_RUN = 127
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Signals that the guard or its interpreter handles; the server must not inherit this.
RESTORED = (*STOP_SIGNALS, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


def main(argv: list[str]) -> None:
    """Run `argv[4:]`; argv[1:4]: pid of homma, descriptor of the status pipe, grace in seconds."""
    parent, status, grace_s = int(argv[1]), int(argv[2]), float(argv[3])
    # If the server inherited it, homma would not notice the guard's end.
    os.set_inheritable(status, False)
    wake = _wake_on_signals()
    child = _start(argv[4:])
    _report(status, f"pid {child}\n")
    code = _watch(child, parent, grace_s, wake)
    _report(status, f"exit {code}\n")
    os.killpg(0, signal.SIGKILL)


class _StopSignal:
    """Whether a signal has asked the guard to stop its server."""

    is_received = False


def _wake_on_signals() -> int:
    """Make signals wake a select() on the returned descriptor."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def request_stop(*_: object) -> None:
        _StopSignal.is_received = True

    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in STOP_SIGNALS:
        signal.signal(number, request_stop)
    # homma's end of the status pipe may be closed; that must not end the guard before its server.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return reader


def _start(command: list[str]) -> int:
    guard = os.getpid()
    die_with_guard = _death_signal()
    # A SIGTERM between fork and exec would go to the guard's own handler and be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    child = os.fork()
    if child:
        # Not the previous mask: a thread of homma may have blocked signals, and a guard or server
        # with that mask cannot be stopped.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return child
    try:
        die_with_guard()
        if os.getppid() != guard:
            # The guard died between fork and prctl, so nothing would end this process.
            os._exit(CANNOT_RUN)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvp(command[0], command)  # noqa: S606 - without a shell
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_RUN)


def _death_signal() -> Callable[[], None]:
    """A function that asks the kernel, on Linux, to kill the caller when its parent dies."""
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)

    def ask_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return ask_kernel


def _watch(child: int, parent: int, grace_s: float, wake: int) -> int:
    """Wait for the child's end, or end it; return its return code (negative: a signal)."""
    pipe = sys.stdin.fileno()
    sources = [pipe, wake]
    kill_at: float | None = None
    while True:
        done, state = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(state)
        if kill_at is None and (
            pipe not in sources or _StopSignal.is_received or os.getppid() != parent
        ):
            os.kill(child, signal.SIGTERM)
            kill_at = time.monotonic() + grace_s
        elif kill_at is not None and time.monotonic() >= kill_at:
            os.kill(child, signal.SIGKILL)
            kill_at = float("inf")
        pause_s = POLL_S if kill_at is None else min(POLL_S, max(0.0, kill_at - time.monotonic()))
        readable = select.select(sources, [], [], pause_s)[0]
        if wake in readable:
            os.read(wake, 512)
        if pipe in readable and not os.read(pipe, 512):
            sources.remove(pipe)


def _report(status: int, line: str) -> None:
    try:
        os.write(status, line.encode())
    except OSError:
        # homma has ended, so nothing reads the status.
        return


if __name__ == "__main__":
    main(sys.argv)
