"""Exit if the machine's clock is set back while homma runs.

librdkafka waits until a time of day (its issue 2145). If the clock is set back by an hour, every
wait in progress lasts an hour longer: nothing is read or committed, and no clean shutdown is
possible. A new process is not affected, and it repeats the work that was not committed.
"""

import os
import threading
import time
from typing import Final

from homma.cli.exit_codes import report_error
from homma.errors import ClockSetBack

# A smaller step only makes a wait a little longer.
_TOLERANCE_S: Final = 10.0
_CHECK_EVERY_S: Final = 1.0


class ClockComparison:
    """Compares the time of day with the monotonic clock, in seconds."""

    def __init__(self, wall_s: float, monotonic_s: float) -> None:
        self._ahead_s = wall_s - monotonic_s

    def set_back_s(self, wall_s: float, monotonic_s: float) -> float:
        """How far the time of day was set back since the last call; negative if set forward."""
        before_s, self._ahead_s = self._ahead_s, wall_s - monotonic_s
        return before_s - self._ahead_s


def exit_when_set_back() -> None:
    """Watch the clock from a thread, and exit with an error if it is set back."""
    threading.Thread(target=_watch, name="clock", daemon=True).start()


def _watch() -> None:
    clock = ClockComparison(time.time(), time.monotonic())
    while True:
        time.sleep(_CHECK_EVERY_S)
        set_back_s = clock.set_back_s(time.time(), time.monotonic())
        if set_back_s > _TOLERANCE_S:
            error = ClockSetBack(
                f"the machine's clock was set back by {set_back_s:.0f} s, and the Kafka client "
                "would block for that time",
                "start again: homma continues from the last commit",
            )
            # sys.exit would wait for the main thread, which hangs.
            os._exit(report_error(error))
