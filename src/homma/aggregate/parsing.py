"""Parses polled records in the background, while the loop reads more and applies earlier ones."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from homma.aggregate.stage import PartitionTask
from homma.core.tick import TickRules
from homma.topics.kafka.reading import Message
from homma.topics.ticks import ParsedBatch, parse_ticks


@dataclass(slots=True)
class PolledRecords:
    """Records of one partition that its task has not applied yet. Monotonic microseconds."""

    #: The task that was open when they were polled.
    task: PartitionTask
    polled_us: int
    messages: list[Message] = field(default_factory=list)
    #: When the end of the partition was reached, if it was.
    end_reached_us: int | None = None


class Parsing:
    """A queue of parses. Each has the records of all partitions, which is faster than one each."""

    def __init__(self, pool: Executor, rules: TickRules) -> None:
        self._pool = pool
        self._rules = rules
        #: Oldest first.
        self._parses: deque[tuple[Sequence[PolledRecords], Future[dict[int, ParsedBatch]]]] = (
            deque()
        )

    def start(self, polled: Sequence[PolledRecords]) -> None:
        """Start parsing records of different partitions."""
        if polled:
            batches = {r.task.number: r.messages for r in polled if r.messages}
            parse = self._pool.submit(parse_ticks, batches, self._rules)
            self._parses.append((polled, parse))

    def take(self, leave: int) -> Iterator[tuple[PolledRecords, ParsedBatch | None]]:
        """Wait for all parses except the newest `leave`, and return their records in order.

        The batch is None if a partition has reached its end and has no new record.
        """
        while len(self._parses) > leave:
            polled, parse = self._parses.popleft()
            batches = parse.result()
            for records in polled:
                yield records, batches.get(records.task.number)
