"""The interface between the loop (`aggregate/loop.py`) and the stages that it runs.

The loop reads records and commits; a stage decides what becomes of the ticks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from homma.errors import KafkaError
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Committed, Reader
from homma.topics.kafka.writing import Transactions
from homma.topics.ticks import ParsedBatch


@dataclass(frozen=True, slots=True)
class TickTopics:
    """The topics that a stage reads and writes."""

    connection: Connection
    topics: Topics
    #: The id of the tick topic when the stage started.
    topic_id: str
    partitions: int
    #: The id of the tick topic now; None if there is no such topic.
    topic_id_now: Callable[[], str | None]
    #: The client ids of a group's members now.
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
    """The consumer group, how often to commit, and when to stop."""

    group: str
    emit_every: timedelta
    max_future: timedelta
    until_end: bool


class PartitionTask(Protocol):
    """A stage's work on one partition."""

    number: int

    @property
    def offset(self) -> int:
        """The offset after the last record applied."""

    @property
    def is_committed(self) -> bool:
        """Whether all records applied are committed."""

    @property
    def is_full(self) -> bool:
        """Whether the task takes no more records for now."""

    @property
    def has_more(self) -> bool:
        """Whether another `publish` is due at once."""

    def apply(self, batch: ParsedBatch, monotonic_us: int) -> None:
        """Apply records, in offset order."""

    def at_end(self, monotonic_us: int) -> None:
        """No record is left for now."""

    def publish(self, monotonic_us: int, owner: object) -> bool:
        """Write what is due in one transaction; False if the transaction was rolled back.

        After a rollback, records have to be read again from `offset`. After Fenced or
        OutcomeUnknown, the task can no longer be used.
        """

    def close(self) -> None:
        """Release the producer and discard whatever was not committed."""


class Stage(Protocol):
    """Creates and tracks the tasks of partitions."""

    @property
    def announcement(self) -> str:
        """What the other members of the group see of this one."""

    def check_group(self) -> None:
        """Raise StateError if this process must not work beside another member of the group."""

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask:
        """The task of a partition. Raises StateError if its state does not fit."""

    def on_applied(self, task: PartitionTask) -> None:
        """A task has been created or has applied records."""

    def on_revoked(self, number: int) -> None:
        """A partition no longer belongs to this process."""
