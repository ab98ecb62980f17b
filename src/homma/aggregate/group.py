"""All engines of a group have the same intervals: one that differs is refused.

An engine announces its intervals at the end of its client id, which Kafka shows for each member of
the group: `homma m1,m5`. Members of other programs announce nothing, and are ignored. An engine
looks at the members before it joins. Two engines may join at the same moment, so it looks again
when it opens a partition whose last commit was not made with its intervals.
"""

import re
from collections.abc import Iterable
from typing import Final

from homma.core.calendar import Calendar
from homma.errors import StateError

_ANNOUNCEMENT: Final = re.compile("(?:^| )homma ((?:,?[a-zA-Z][0-9]+)+)$")


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
