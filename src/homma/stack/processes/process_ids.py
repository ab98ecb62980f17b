"""Check and end processes, identified by pid and start time.

A pid alone is not enough: the system reuses it for other processes.
"""

import contextlib
import time
from typing import Final

import psutil

POLL_S: Final = 0.02
CREATED_TOLERANCE_S: Final = 2.0
KILL_TIMEOUT_S: Final = 10.0


def is_alive(pid: int, created: float) -> bool:
    """Whether the process `pid` that was started at `created` (epoch seconds) still runs.

    False for another process that reuses the pid, and for a zombie.
    """
    try:
        process = psutil.Process(pid)
        # The kernel counts from boot, and the boot time shifts a little when the clock is set.
        is_same = abs(process.create_time() - created) < CREATED_TOLERANCE_S
        return is_same and not _has_ended(process)
    except psutil.Error:
        return False


def _has_ended(process: psutil.Process) -> bool:
    # A killed process with many threads looks like a zombie before its last thread has ended;
    # until then it keeps its ports and files.
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1


def wait_for_end(pid: int, created: float, timeout_s: float) -> bool:
    """Wait until a process, not necessarily a child, has ended; whether it has."""
    deadline = time.monotonic() + timeout_s
    while is_alive(pid, created):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def terminate(pid: int, created: float, grace_s: float) -> bool:
    """End this process, and no other with its pid: SIGTERM, then SIGKILL after `grace_s`.

    Returns whether it has ended: False if this user may not signal it.
    """
    if not is_alive(pid, created):
        return True
    with contextlib.suppress(psutil.Error):
        # psutil checks the start time again right before it sends a signal.
        process = psutil.Process(pid)
        process.terminate()
        if wait_for_end(pid, created, grace_s):
            return True
        process.kill()
    return wait_for_end(pid, created, KILL_TIMEOUT_S)
