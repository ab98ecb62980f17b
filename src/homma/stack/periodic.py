"""A chore beside the servers, done again and again from a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homma.errors import HommaError


@contextmanager
def every(
    interval_s: float,
    chore: Callable[[threading.Event], None],
    on_error: Callable[[HommaError], None],
) -> Iterator[None]:
    """Do `chore` every so often for the length of a with block, and not before the first interval.

    It is handed the event that is set at the block's end, and has to return soon after that. Its
    errors go to `on_error`; the next time it is tried again.
    """
    over = threading.Event()

    def work() -> None:
        while not over.wait(interval_s):
            try:
                chore(over)
            except HommaError as error:
                on_error(error)

    thread = threading.Thread(target=work, name="chore", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
