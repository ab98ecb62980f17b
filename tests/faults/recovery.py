"""How long a group of engines pauses: when its commits moved, against what happened to it."""

import re
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from math import inf

from tests.aggregate.pipeline import Pipeline
from tests.faults.engines import Progress, Running

#: Epoch seconds, by partition: when its committed offset was seen to have moved.
Advances = Sequence[Sequence[float]]
_OPENED = re.compile(r"(\S+ \S+) homma\.aggregate: partition (\d+)\b.* goes on at offset")
_LOOK_S = 0.1


class Commits:
    """Looks at the group's offsets from a thread."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._progress = Progress(pipeline)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.offsets = [0] * pipeline.partitions
        self.advances: list[list[float]] = [[] for _ in range(pipeline.partitions)]

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            offsets, now = self._progress.offsets(1), time.time()
            for partition, offset in enumerate(offsets):
                if offset > self.offsets[partition]:
                    self.offsets[partition] = offset
                    self.advances[partition].append(now)

    def moved_on_since(self, at: float) -> bool:
        """Whether all partitions have, since some epoch second."""
        return all(moved and moved[-1] > at for moved in self.advances)

    def __enter__(self) -> "Commits":
        self._thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._progress.close()


def opened(engines: Sequence[Running]) -> list[tuple[int, float, int]]:
    """From what engines say: the partitions taken over, when (epoch seconds), by which engine."""
    return [
        (int(partition), datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").timestamp(), number)
        for number, engine in enumerate(engines)
        for at, partition in _OPENED.findall(engine.said())
    ]


def pauses(
    taken_over: Sequence[tuple[int, float, int]], advances: Advances, outages: Sequence[float]
) -> list[float]:
    """Seconds from the last commit of a partition's old owner to the first of its new one.

    Of what `opened` gives. Pauses in which the broker was killed (epoch seconds) don't count.
    """
    found: set[tuple[int, float, float]] = set()
    for (partition, _, before), (same, at, after) in pairwise(sorted(taken_over)):
        moved = advances[partition]
        if partition != same or before == after:
            continue
        last = max((one for one in moved if one <= at), default=None)
        first = min((one for one in moved if one > at), default=None)
        if last and first and not any(last < outage < first for outage in outages):
            found.add((partition, last, first))
    return [first - last for _, last, first in found]


def recoveries(faults: Sequence[float], advances: Advances) -> list[float]:
    """Seconds from a fault until all partitions have moved on; inf where one never has.

    Where another fault came before that, only the last of them counts.
    """
    found = []
    for fault, following in pairwise([*sorted(faults), inf]):
        settled = max(min((a for a in moved if a > fault), default=inf) for moved in advances)
        if settled <= following:
            found.append(settled - fault)
    return found
