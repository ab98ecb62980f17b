"""Decides which small files to compact into one. Pure.

Small files of a past partition are compacted soon. In the current partition, only files too old to
be corrected are compacted, and only many at once. A group fits into memory, and no file makes up
most of a group, so that rows are not rewritten again and again.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from homma.lake.table import Part

#: Maximum number of rows in a group: all of them are in memory at once.
MAX_GROUP_ROWS: Final = 250_000
#: Larger files are not compacted.
MAX_SMALL_ROWS: Final = MAX_GROUP_ROWS // 2
#: Minimum number of small files in a group, in past partitions and in the current one.
MIN_PAST_FILES: Final = 4
MIN_CURRENT_FILES: Final = 32
_HOUR_US: Final = 3_600_000_000


def next_group(parts: Iterable[Part]) -> list[Part]:
    """The next files to compact; empty if compaction is not worth it."""
    ordered = sorted(parts, key=lambda part: (part.partition, part.newest_us))
    if not ordered:
        return []
    newest = max(ordered, key=lambda part: part.newest_us)
    candidates = [
        p for p in ordered if p.newest_us < newest.newest_us - _HOUR_US and p.rows < MAX_SMALL_ROWS
    ]
    for partition, members in groupby(candidates, key=lambda part: part.partition):
        min_files = MIN_CURRENT_FILES if partition == newest.partition else MIN_PAST_FILES
        group = _smallest_fitting(list(members))
        if len(group) >= min_files:
            return group
    return []


def _smallest_fitting(parts: Sequence[Part]) -> list[Part]:
    """The smallest files that fit into one group, none with most of the rows."""
    group: list[Part] = []
    rows = 0
    for part in sorted(parts, key=lambda part: part.rows):
        if rows + part.rows > MAX_GROUP_ROWS:
            break
        group.append(part)
        rows += part.rows
    while group and 2 * group[-1].rows > rows:
        rows -= group.pop().rows
    return group
