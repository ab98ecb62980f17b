"""The interface between the loop (`partitions/loop.py`) and the stages that it runs.

The loop reads records and commits; a stage decides what becomes of the ticks. To add a stage, write
a class that follows `Stage` and one that follows `PartitionTask`, and pass the stage to a `Loop`:
`aggregate/job.py` and `aggregate/rekey.py` do the same.

For each partition, the loop makes these calls in this order:

    check_group
        └▶ on_assigned ──▶ on_applied
               └▶ apply ──▶ on_applied, at_end, publish: in any order, any number of times
                      └▶ close ──▶ on_revoked

**Threads.** `on_assigned` and `publish` run in a pool, for several partitions at the same time. The
loop's thread waits until all of these calls have returned; it makes every other call itself. So a
task is never used by two threads at once, and only what several tasks share needs attention: it is
read and changed by the `on_assigned` or the `publish` of different partitions at the same time.

**Blocking.** The pool may wait for Kafka. A call in the loop's thread holds up every partition of
this process, and the other members of the group if partitions are to move.

**Errors.** Each method names the errors after which the loop continues. Any other error ends the
process: all tasks are closed, nothing more is committed, and the next start continues from the last
commit. A record is never skipped because of an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from homma.errors import KafkaError
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Committed, Message, Reader
from homma.topics.kafka.writing import Transactions

#: The parsed records of one partition, as a stage defines them.
Batch = TypeVar("Batch")
_Batch_contra = TypeVar("_Batch_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class TickTopics:
    """The topics that a stage reads and writes, and what it may ask Kafka about them.

    Both callables may wait for a broker's answer, and raise KafkaError if there is none.
    """

    connection: Connection
    topics: Topics
    #: The id of the tick topic when the stage started.
    topic_id: str
    #: The partition count at that moment. Series may move to other partitions if it grows, so the
    #: loop raises TopicMismatch when a new partition is assigned, unless the settings allow it.
    partitions: int
    #: The id of the tick topic now; None if there is no such topic. The loop asks before each
    #: publish, and publishes only if the id is `topic_id`: offsets of another topic of that name
    #: mean nothing.
    topic_id_now: Callable[[], str | None]
    #: The client ids of a group's members now, for `Stage.check_group`.
    client_ids: Callable[[str], Sequence[str]]


def tick_topics(connection: Connection, topics: Topics, admin: Admin) -> TickTopics:
    """Look up the tick topic. Raises KafkaError if it does not exist."""
    partitions = admin.require(topics.ticks)
    topic_id = admin.topic_id(topics.ticks)
    if topic_id is None:
        raise KafkaError(
            f"topic {topics.ticks} has just been deleted", "create the topic and start again"
        )
    return TickTopics(
        connection,
        topics,
        topic_id,
        partitions,
        topic_id_now=lambda: admin.topic_id(topics.ticks),
        client_ids=admin.client_ids,
    )


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """The consumer group, how often to commit, and when to stop.

    `if_recreated` is the remedy if the topic is deleted or created again. Where the number of
    partitions decides to which one a series belongs, the topic must not grow.
    """

    group: str
    emit_every: timedelta
    until_end: bool
    if_recreated: str = (
        "start with --rebuild to build all candles again from the ticks in the topic"
    )
    may_grow: bool = False


class PartitionTask(Protocol[_Batch_contra]):
    """A stage's work on one partition, from the moment it is opened until it is closed.

    A task has two states: the one after the last record applied, and the one of the last commit.
    `publish` makes the first one the second, or returns to the second. Records that are not
    committed may be lost at any moment; they are read again.

    The properties are read in the loop's thread, after `apply` or `publish` has returned. They
    return at once and do not raise.
    """

    #: The partition of the tick topic, as passed to `on_assigned`.
    number: int

    @property
    def offset(self) -> int:
        """The offset after the last record applied.

        Reading starts here when the task is opened, and again after a rollback.
        """

    @property
    def is_committed(self) -> bool:
        """Whether all records applied are committed. With `until_end`, the loop ends when they are.

        `publish` must make it true once every partition is at its end.
        """

    @property
    def is_full(self) -> bool:
        """Whether the task takes no more records for now.

        Read once after each round of publishing: the partition is paused while it is true. Records
        that were polled before are still applied, so this is no limit but a request.
        """

    @property
    def has_more(self) -> bool:
        """Whether another `publish` would commit something now.

        The loop publishes all partitions again at once, up to a second long.
        """

    def apply(self, batch: _Batch_contra, monotonic_us: int) -> None:
        """Apply records. Loop's thread.

        Batches come in offset order, each at least one record, without a gap but what Kafka itself
        leaves out: markers and rolled back records. `monotonic_us` is the machine's clock when the
        first of them was polled.

        Computes only; `aggregate/partition.py` also waits for Kafka, when a dormant series wakes.
        No content of a record may raise: `batch.bad` has the invalid ones. Afterwards `offset` is
        `batch.end`, and each record counts exactly once, as accepted, duplicate, dropped as late or
        dead; otherwise the task raises InternalError (`aggregate/tick_counts.py`).
        """

    def at_end(self, monotonic_us: int) -> None:
        """No record is left for now. Loop's thread; returns at once and does not raise.

        Called after all records polled before have been applied. `monotonic_us` is the machine's
        clock when the end was reached. The next `apply` means that there are records again.
        """

    def publish(self, monotonic_us: int, owner: object) -> bool:
        """Write what is due and `offset` in one transaction. Pool.

        `owner` is the group's metadata for the transaction: with it, Kafka refuses the commit of a
        process that no longer owns the partition. May wait for Kafka as long as the timeouts of
        `Transactions` allow. If nothing is due, it need not begin a transaction.

        Returns True if all that was due is committed, and nothing else. Returns False if the
        transaction was rolled back: the state is that of the last commit again, and the loop reads
        records again from `offset`. Raises Fenced or OutcomeUnknown if the producer can no longer
        be used: the loop closes the task and opens the partition again, after a session or at once.
        Before the transaction begins, raises InternalError if it would lack a record.
        """

    def close(self) -> None:
        """Close the producer and discard whatever is not committed. Loop's thread.

        Called exactly once, also after an error. Takes at most a second or so, and does not raise.
        No other method is called afterwards.
        """


class Stage(Protocol[Batch]):
    """Creates the tasks of partitions, and keeps track of what they have in common."""

    @property
    def announcement(self) -> str:
        """What the other members of the group see of this one, at the end of its client id.

        Read once, before the process joins the group.
        """

    def parse(self, batches: Mapping[int, list[Message]]) -> Mapping[int, Batch]:
        """Parse records by partition. Pool; pure, and several at once.

        Each list has at least one record. Returns a batch for each partition.
        """

    def check_group(self) -> None:
        """Raise StateError if this process must not work beside another member of the group.

        Loop's thread; may wait for a broker's answer. Called before the process joins: the loop
        waits up to a session for that member to leave. After KafkaError the process joins anyway,
        so `on_assigned` must check again what matters to its partition.
        """

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask[Batch]:
        """Restore the task of a partition. Pool, for several partitions at once; may take minutes.

        `committed` is the group's committed offset, None if it has none. `transactions` has taken
        over the partition: no predecessor can commit any more. `reader` serves this partition only,
        until it is revoked.

        Returns a task whose state is that of `committed`; from then on the task owns
        `transactions`. Raises StateError if topics and offset do not belong together, or if another
        member of the group does not fit; this ends the process. After KafkaError the loop tries
        again a second later, with new `transactions`. Whenever it raises, the loop closes
        `transactions`, so nothing may be left behind: neither `close` nor `on_revoked` follows.
        """

    def on_applied(self, task: PartitionTask[Batch]) -> None:
        """A task has been opened or has applied records. Loop's thread; returns at once.

        Here a stage compares its tasks with each other. Raises StateError if they contradict each
        other, such as SplitSeries: the process ends before the records are committed.
        """

    def on_revoked(self, number: int) -> None:
        """A task has been closed: the partition was revoked, or is opened again after an error.

        Loop's thread; returns at once and does not raise. Forget what the task has contributed.
        """
