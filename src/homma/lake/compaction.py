"""Which small files are made into one. Pure.

Files of a partition that is written to no more are put together soon; of the others only those that
are old enough to be corrected no more, once they are many. A group is as large as the memory allows
and has no member that makes up most of it: no row is written again and again.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from homma.lake.table import Part

#: A group has so many rows at most: they are in memory at once.
GROUP_ROWS: Final = 250_000
#: What is larger is left alone.
SMALL_ROWS: Final = GROUP_ROWS // 2
#: How many small files make a group, in a partition that is over and in one that is not.
CLOSED_FILES: Final = 4
OPEN_FILES: Final = 32
_HOUR_US: Final = 3_600_000_000


def next_group(parts: Iterable[Part]) -> list[Part]:
    """The files to put together next; none, if it is not worth it."""
    every = sorted(parts, key=lambda part: (part.partition, part.newest_us))
    if not every:
        return []
    newest = max(every, key=lambda part: part.newest_us)
    cold = [p for p in every if p.newest_us < newest.newest_us - _HOUR_US and p.rows < SMALL_ROWS]
    for partition, members in groupby(cold, key=lambda part: part.partition):
        least = OPEN_FILES if partition == newest.partition else CLOSED_FILES
        group = _fitting(list(members))
        if len(group) >= least:
            return group
    return []


def _fitting(parts: Sequence[Part]) -> list[Part]:
    """The smallest of them that fit together, none of which makes up most of them."""
    group: list[Part] = []
    rows = 0
    for part in sorted(parts, key=lambda part: part.rows):
        if rows + part.rows > GROUP_ROWS:
            break
        group.append(part)
        rows += part.rows
    while group and 2 * group[-1].rows > rows:
        rows -= group.pop().rows
    return group
