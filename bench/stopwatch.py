"""What a process says of itself. The standard library alone: other environments import it too."""

import json
import math
import time
from pathlib import Path


class Stopwatch:
    """Seconds and CPU seconds from now on."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._cpu_s = time.process_time()

    def tell(self, ticks: int) -> None:
        """Print how `ticks` ticks went, as one line of JSON."""
        told = {
            "ticks": ticks,
            "seconds": time.perf_counter() - self._began_s,
            "cpu_s": time.process_time() - self._cpu_s,
            "peak_mib": peak_mib("self"),
        }
        print(json.dumps(told), flush=True)


def peak_mib(pid: int | str) -> float:
    """The largest resident set of a running process so far; not a number where there is no /proc.

    What getrusage calls the largest counts that of the parent as well, as it was at the fork.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return math.nan
    found = next((row for row in status.splitlines() if row.startswith("VmHWM:")), None)
    return int(found.split()[1]) / 1024 if found else math.nan
