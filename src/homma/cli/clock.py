"""A machine's clock that is set back under a running program.

librdkafka waits until a time of day. Once the clock is set back by an hour, each of its waits that
is under way lasts an hour longer (its issue 2145): nothing is read or committed, and nothing can
be ended in order. A new process does not know the old hour; what the old one had not committed is
taken up again.
"""

import os
import threading
import time
from typing import Final

from homma.cli.exit_codes import told
from homma.errors import ClockSetBack

# Shorter ones pass like any other pause.
_MOST_S: Final = 10.0
_LOOK_S: Final = 1.0


class SetBack:
    """Compares the time of day with a clock that only goes on. Seconds."""

    def __init__(self, wall_s: float, monotonic_s: float) -> None:
        self._ahead_s = wall_s - monotonic_s

    def by(self, wall_s: float, monotonic_s: float) -> float:
        """How far the time of day was set back since the last look; less than 0: forward."""
        before_s, self._ahead_s = self._ahead_s, wall_s - monotonic_s
        return before_s - self._ahead_s


def end_when_set_back() -> None:
    """Look at the clock from a thread, and end the program with a sentence."""
    threading.Thread(target=_watch, name="clock", daemon=True).start()


def _watch() -> None:
    clock = SetBack(time.time(), time.monotonic())
    while True:
        time.sleep(_LOOK_S)
        by_s = clock.by(time.time(), time.monotonic())
        if by_s > _MOST_S:
            error = ClockSetBack(
                f"the machine's clock was set back by {by_s:.0f} s, which the Kafka client would "
                "wait for",
                "start again: the work is taken up from the last commit",
            )
            # Not sys.exit: the thread that would have to end hangs.
            os._exit(told(error))
