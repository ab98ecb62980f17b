"""Runs a task at regular intervals, in its own thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homma.errors import HommaError


@contextmanager
def every(
    interval_s: float,
    task: Callable[[threading.Event], None],
    on_error: Callable[[HommaError], None],
) -> Iterator[None]:
    """Run `task` every `interval_s` during a with block, for the first time after one interval.

    The task gets an event that is set at the end of the block, and must return soon after that.
    `on_error` gets its errors; the task runs again after the next interval.
    """
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(interval_s):
            try:
                task(stop)
            except HommaError as error:
                on_error(error)

    thread = threading.Thread(target=run, name="periodic task", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
