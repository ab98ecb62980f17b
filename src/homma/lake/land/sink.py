"""The contract between the landing loop and what it writes to.

The loop knows nothing else of a sink: the module of a new sink defines its classes and a
`SinkFactory`, and `cli/verbs/land.py` chooses the factory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol, TypeVar

from homma.core.interval import Interval
from homma.errors import StateError
from homma.topics.kafka.reading import Message

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class SourceTopic:
    """The topic that a sink stores; `interval` is that of its candles, None for ticks.

    `topic_id` is Kafka's: a topic that is deleted and created again gets another one.
    """

    topic: str
    topic_id: str
    interval: Interval | None

    def require_same(self, target: str, topic: str, topic_id: str) -> None:
        """Raise StateError if `target` was filled from another topic, or if it was recreated."""
        if topic != self.topic:
            raise StateError(
                f"{target} was filled from the topic {topic}, not {self.topic}",
                "set that topic with --topic or --candle-topic, or choose another --namespace",
            )
        if topic_id != self.topic_id:
            raise StateError(
                f"topic {topic} was deleted and created again, but {target} was filled from the "
                "old topic",
                "choose another --namespace for the new topic, or drop the table to fill it again",
            )


class Pending(Enum):
    """Whether a sink has anything to commit."""

    NOTHING = auto()
    #: A commit is needed, but it may wait until it is due.
    SOME = auto()
    #: The next commit must not wait, so that the memory of the sink stays bounded.
    FULL = auto()


class Sink(Protocol[Batch]):
    """Stores the records of one topic, each exactly once.

    **Threads.** The loop calls `take`, `pending` and `cut` on its own thread, and `commit` on a
    thread of a pool. A sink has at most one commit in progress, and its batches are committed in
    the order in which they were cut. Meanwhile the loop continues to call `take` and `pending`, so
    these share nothing with `commit` that changes in place. Different sinks commit at the same
    time.

    **Errors.** Any exception ends the loop and thereby the process: no method of any sink is called
    again, but commits that have been started run to their end. A sink therefore retries what may
    succeed later, and raises a HommaError that says what to do about the rest. A record that is
    invalid is no error: the sink skips, counts and logs it.

    **Exactly once.** Three things make it so, and all are the sink's:

    1. `commit` stores the rows and the position of a batch in one atomic step. After a crash at any
       moment, either both are stored or neither is.
    2. After an error whose outcome is unknown, the sink finds out whether the step was made before
       it repeats it.
    3. There is one writer: an opened sink has made sure that its predecessor, which may still be
       running, can store nothing more. The commit of a sink with a successor raises StaleSink.

    The loop contributes that it reads from `position` when it starts, and passes each later record
    of a partition once and in order.
    """

    @property
    def source(self) -> SourceTopic:
        """The topic whose records it stores."""

    @property
    def name(self) -> str:
        """The full name of what it writes to, for messages."""

    @property
    def label(self) -> str:
        """The value of the label `table` in its metrics."""

    @property
    def commit_every_s(self) -> float:
        """The time between two commits, in seconds."""

    @property
    def position(self) -> Mapping[int, int]:
        """Per partition, the offset after the last record that is stored; empty for a new sink.

        Called on the loop's thread, at the start and after each commit. Neither blocks nor raises:
        the factory or the last commit has read it.
        """

    @property
    def pending(self) -> Pending:
        """Whether anything was taken that is in no batch yet. Called often: must be fast."""

    def take(self, records: Mapping[int, list[Message]], ends: Mapping[int, int]) -> None:
        """Buffer records by partition, and the end offsets of partitions that were read completely.

        Lists are ordered by offset and not empty. Offsets have gaps, where compaction has removed
        records and where transactions end: up to an offset in `ends`, no more records will come.
        A sink may ignore `ends`; after a restart, the loop then reads these gaps again.

        May use the processor, but does not wait for a server: while it runs, nothing is read.
        Raises StateError for records that homma must not store, such as those of a newer homma, and
        SplitSeries if a series is in two partitions.
        """

    def cut(self) -> Batch:
        """End the current batch: all that was taken so far, with its position.

        What is taken from now on belongs to the next batch. Called only if `pending` is not
        NOTHING. Does not wait for a server.
        """

    def commit(self, batch: Batch) -> None:
        """Store a batch and its position; when it returns, both are durable and in `position`.

        May block for as long as the server is away: other sinks and reading continue. Once the
        loop's `stopped` is true it tries at most once more, so that the process can end. Raises
        StaleSink if another sink has taken over. Work that keeps the target small, such as
        compaction, belongs here too, after the commit.
        """


class SinkFactory(Protocol):
    """Opens the sinks of a loop."""

    def __call__(self, sources: Sequence[SourceTopic], /) -> Sequence[Sink[Any]]:
        """Open a sink for each topic, or none for a topic that another program stores.

        Called once, on the loop's thread, before anything is read. Before it writes anything it
        checks everything, with `SourceTopic.require_same` too, so that an error leaves nothing
        behind and stops no other sink. Then it creates what is missing, and takes over from the
        sinks of an earlier process. May block and raise.
        """
