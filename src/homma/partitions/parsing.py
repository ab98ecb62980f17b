"""Parses polled records in the background, while the loop reads more and applies earlier ones."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Generic

from homma.partitions.stage import Batch, PartitionTask
from homma.topics.kafka.reading import Message


@dataclass(slots=True)
class PolledRecords(Generic[Batch]):
    """Records of one partition that its task has not applied yet. Monotonic microseconds."""

    #: The task that was open when they were polled.
    task: PartitionTask[Batch]
    polled_us: int
    messages: list[Message] = field(default_factory=list)
    #: When the end of the partition was reached, if it was.
    end_reached_us: int | None = None


class Parsing(Generic[Batch]):
    """A queue of parses. Each has the records of all partitions, which is faster than one each."""

    def __init__(
        self,
        pool: Executor,
        parse: Callable[[Mapping[int, list[Message]]], Mapping[int, Batch]],
    ) -> None:
        self._pool = pool
        self._parse = parse
        #: Oldest first.
        self._parses: deque[tuple[Sequence[PolledRecords[Batch]], Future[Mapping[int, Batch]]]] = (
            deque()
        )

    def start(self, polled: Sequence[PolledRecords[Batch]]) -> None:
        """Start parsing records of different partitions."""
        if polled:
            batches = {r.task.number: r.messages for r in polled if r.messages}
            parse = self._pool.submit(self._parse, batches)
            self._parses.append((polled, parse))

    def take(self, leave: int) -> Iterator[tuple[PolledRecords[Batch], Batch | None]]:
        """Wait for all parses except the newest `leave`, and return their records in order.

        The batch is None if a partition has reached its end and has no new record.
        """
        while len(self._parses) > leave:
            polled, parse = self._parses.popleft()
            batches = parse.result()
            for records in polled:
                yield records, batches.get(records.task.number)
