"""The memory and the CPU time of a process."""

from dataclasses import dataclass

import psutil

from homma.stack.processes.process_ids import is_alive


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses: resident memory now, and CPU time since its start."""

    memory_bytes: int
    cpu_s: float


def usage_of(pid: int | None, created: float | None) -> Usage | None:
    """Return the usage of a process, identified by pid and start time; None if it has ended."""
    if not pid or not created or not is_alive(pid, created):
        return None
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Usage(process.memory_info().rss, times.user + times.system)
    except psutil.Error:
        return None
