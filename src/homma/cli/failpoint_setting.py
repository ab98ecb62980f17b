"""The failpoint of HOMMA_FAILPOINT, at which a test kills this process."""

import os
import signal

from homma.cli.options import FAILPOINT
from homma.failpoint import OnStep, failpoint, ignore_step


def chosen_failpoint() -> OnStep:
    """The step at which a test kills this process, as abruptly as a power cut."""
    text = os.environ.get(FAILPOINT)
    if text is None:
        return ignore_step
    return failpoint(text, lambda: os.kill(os.getpid(), signal.SIGKILL))
