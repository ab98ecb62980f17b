"""Ctrl-C and SIGTERM as a question that a loop asks."""

import signal
from collections.abc import Callable
from threading import Event
from types import FrameType


def stop_on_signals() -> Callable[[], bool]:
    """Whether the process was asked to end; a second Ctrl-C ends it at once."""
    asked = Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        asked.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return asked.is_set
