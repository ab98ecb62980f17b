"""Ctrl-C and SIGTERM as a condition that a loop polls."""

import signal
from collections.abc import Callable
from threading import Event
from types import FrameType


def stop_on_signals() -> Callable[[], bool]:
    """Return a function that is true after a signal; a second Ctrl-C ends the process at once."""
    stop_requested = Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        del frame
        stop_requested.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    return stop_requested.is_set
