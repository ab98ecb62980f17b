"""Runs several loops in one process."""

from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import TypeAlias

#: Works until the callable that it is given returns True.
Run: TypeAlias = Callable[[Callable[[], bool]], None]


def run_together(runs: Sequence[Run], stopped: Callable[[], bool]) -> None:
    """Run all until `stopped`, or until each has ended; when one fails, stop all and raise."""
    has_failed = Event()
    errors: list[BaseException] = []

    def run(one: Run) -> None:
        try:
            one(lambda: has_failed.is_set() or stopped())
        except BaseException as error:  # noqa: BLE001  raised in the caller's thread
            errors.append(error)
            has_failed.set()

    threads = [Thread(target=run, args=(one,), name="loop") for one in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
