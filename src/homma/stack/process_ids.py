"""Whether a process lives, named by its number and the time of its start.

A number alone is not a name: the system gives it to another process later.
"""

import contextlib
import time
from typing import Final

import psutil

POLL_S: Final = 0.02
CREATED_WITHIN_S: Final = 2.0
GONE_S: Final = 10.0


def alive(pid: int, created: float) -> bool:
    """Whether the process with this number that was started at `created` still runs.

    Another process that got the same number is not it, and one that only waits to be cleared
    away by its parent (a zombie) does not run.
    """
    try:
        process = psutil.Process(pid)
        # The kernel counts from boot, and boot's time moves a little when the clock is set.
        same = abs(process.create_time() - created) < CREATED_WITHIN_S
        return same and not _over(process)
    except psutil.Error:
        return False


def _over(process: psutil.Process) -> bool:
    # A killed process with many threads looks like a zombie before the last of them has gone;
    # until then it holds its ports and files.
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1


def wait_gone(pid: int, created: float, timeout_s: float) -> bool:
    """Wait until that process no longer runs, which need not be a child of this one."""
    deadline = time.monotonic() + timeout_s
    while alive(pid, created):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def end(pid: int, created: float, grace_s: float) -> bool:
    """End that process, and no other with its number: SIGTERM, then SIGKILL after `grace_s`.

    Whether it is gone: False for one that this user may not signal.
    """
    if not alive(pid, created):
        return True
    with contextlib.suppress(psutil.Error):
        # psutil looks again, right before it signals, whether the number is still the process's.
        process = psutil.Process(pid)
        process.terminate()
        if wait_gone(pid, created, grace_s):
            return True
        process.kill()
    return wait_gone(pid, created, GONE_S)
