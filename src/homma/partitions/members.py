"""Waits for other members of the group that this process must not work beside."""

import logging
import time
from collections.abc import Callable
from typing import Final

from homma.errors import KafkaError, StateError

log = logging.getLogger("homma.partitions")

_POLL_S: Final = 0.5


def wait_for_members(
    check: Callable[[], None], session_ms: int, stopped: Callable[[], bool]
) -> None:
    """Wait until `check` passes; raise its StateError if that takes longer than a session.

    A member that was killed leaves the group when its session ends.
    """
    until_s = time.monotonic() + session_ms / 1000 + 1
    while not stopped():
        try:
            check()
        except StateError as error:
            if time.monotonic() > until_s:
                raise
            log.info("waiting: %s", error.problem)
            time.sleep(_POLL_S)
        except KafkaError as error:
            # The group of a new cluster has no coordinator yet.
            log.debug("the group is checked when partitions are opened: %s", error)
            return
        else:
            return
