"""Time and memory of a process. Standard library only: other environments import it, too."""

import json
import math
import time
from pathlib import Path


class Stopwatch:
    """Seconds and CPU seconds from now on."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._cpu_s = time.process_time()

    def report(self, ticks: int) -> None:
        """Print the result for `ticks` ticks as one line of JSON."""
        result = {
            "ticks": ticks,
            "seconds": time.perf_counter() - self._began_s,
            "cpu_s": time.process_time() - self._cpu_s,
            "peak_mib": peak_mib("self"),
        }
        print(json.dumps(result), flush=True)


def peak_mib(pid: int | str) -> float:
    """The peak resident set of a running process in MiB; NaN without /proc.

    getrusage would include the parent's resident set at the fork.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return math.nan
    line = next((row for row in status.splitlines() if row.startswith("VmHWM:")), None)
    return int(line.split()[1]) / 1024 if line else math.nan
