"""All engines of a group have the same intervals: one that differs is refused.

An engine announces its intervals at the end of its client id, which Kafka shows for each member of
the group: `homma m1,m5`. Members of other programs announce nothing, and are ignored. An engine
looks at the members before it joins, and again when it is assigned partitions, as two engines may
join at the same moment.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import Final

from homma.core.calendar import Calendar
from homma.errors import KafkaError, StateError

log = logging.getLogger("homma.aggregate")

_ANNOUNCEMENT: Final = re.compile("(?:^| )homma ((?:,?[a-zA-Z][0-9]+)+)$")
_POLL_S: Final = 0.5


def announcement(calendar: Calendar) -> str:
    """The client id, or the end of it, of an engine with this calendar."""
    return f"homma {calendar}"


def check_members(client_ids: Iterable[str], calendar: Calendar, group: str) -> None:
    """Raise StateError if a member of the group announces other intervals."""
    for client_id in client_ids:
        announced = _ANNOUNCEMENT.search(client_id)
        if announced is not None and announced[1] != str(calendar):
            raise StateError(
                f"a running engine of group {group} has the intervals {announced[1]}, but "
                f"--intervals is {calendar}",
                "stop all engines of the group, then start them with the same --intervals",
            )


class GroupCheck:
    """Checks the members of the group, if they may have changed.

    `check` raises StateError, or KafkaError if it cannot tell.
    """

    def __init__(self, check: Callable[[], None], session_ms: int) -> None:
        self._check = check
        self._session_s = session_ms / 1000
        self._is_checked = True

    def wait(self, stopped: Callable[[], bool]) -> None:
        """Wait until the check passes; raise its StateError if that takes too long.

        A member that was killed leaves the group when its session ends.
        """
        until_s = time.monotonic() + self._session_s + 1
        while not stopped():
            try:
                self._check()
            except StateError as error:
                if time.monotonic() > until_s:
                    raise
                log.info("waiting: %s", error.problem)
                time.sleep(_POLL_S)
            except KafkaError as error:
                # The group of a new cluster has no coordinator yet.
                log.debug("the group is checked when partitions are assigned: %s", error)
                return
            else:
                return

    def is_checked(self) -> bool:
        """Whether the check has passed since the last assignment, or passes now."""
        if not self._is_checked:
            try:
                self._check()
            except KafkaError as error:
                log.warning("no partition can be opened yet: %s", error)
                return False
            self._is_checked = True
        return True

    def forget(self) -> None:
        """Check again: partitions were assigned, and the group may have other members."""
        self._is_checked = False
