"""Measures how long a group of engines pauses, from its commits and its faults."""

import re
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from math import inf

from tests.support.engines import Progress, Running
from tests.support.pipeline import Pipeline

#: By partition: epoch seconds when its committed offset was seen to advance.
Advances = Sequence[Sequence[float]]
_TAKEN_OVER = re.compile(r"(\S+ \S+) homma\.partitions: partition (\d+)\b.* continues at offset")
_POLL_S = 0.1


class Commits:
    """Polls the group's offsets from a thread."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._progress = Progress(pipeline)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.offsets = [0] * pipeline.partitions
        self.advances: list[list[float]] = [[] for _ in range(pipeline.partitions)]

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            offsets, now = self._progress.offsets(1), time.time()
            for partition, offset in enumerate(offsets):
                if offset > self.offsets[partition]:
                    self.offsets[partition] = offset
                    self.advances[partition].append(now)

    def advanced_since(self, at_s: float) -> bool:
        """Whether all partitions have advanced since a time (epoch seconds)."""
        return all(times and times[-1] > at_s for times in self.advances)

    def __enter__(self) -> "Commits":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._progress.close()


def takeovers(engines: Sequence[Running]) -> list[tuple[int, float, int]]:
    """Partition, time (epoch seconds) and engine of each takeover in the engines' output."""
    return [
        (int(partition), datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").timestamp(), number)
        for number, engine in enumerate(engines)
        for at, partition in _TAKEN_OVER.findall(engine.output())
    ]


def pauses(
    taken_over: Sequence[tuple[int, float, int]], advances: Advances, outages: Sequence[float]
) -> list[float]:
    """Seconds from the last commit of a partition's old owner to the first of its new owner.

    `taken_over` comes from `takeovers`. Pauses that contain an outage (epoch seconds) don't count.
    """
    intervals: set[tuple[int, float, float]] = set()
    for (partition, _, before), (same, at, after) in pairwise(sorted(taken_over)):
        times = advances[partition]
        if partition != same or before == after:
            continue
        last = max((time for time in times if time <= at), default=None)
        first = min((time for time in times if time > at), default=None)
        if last and first and not any(last < outage < first for outage in outages):
            intervals.add((partition, last, first))
    return [first - last for _, last, first in intervals]


def recoveries(faults: Sequence[float], advances: Advances) -> list[float]:
    """Seconds from a fault until all partitions have advanced; inf if one never did.

    If another fault happened before that, only the last of them counts.
    """
    durations = []
    for fault, following in pairwise([*sorted(faults), inf]):
        recovered = max(min((t for t in times if t > fault), default=inf) for times in advances)
        if recovered <= following:
            durations.append(recovered - fault)
    return durations
