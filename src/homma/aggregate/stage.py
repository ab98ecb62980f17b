"""What a stage is to the loop that drives it: where it works, how often, and with what.

A stage decides what becomes of ticks; `aggregate/loop.py` moves them.
"""

from collections.abc import Callable
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
    """Where a stage reads and writes."""

    config: Connection
    topics: Topics
    #: The topic of ticks as it was found.
    topic_id: str
    partitions: int
    #: Its id now, None where there is no such topic.
    topic_id_now: Callable[[], str | None]


def sources(config: Connection, topics: Topics, admin: Admin) -> TickTopics:
    """The sources as they are found now; KafkaError where there is no topic of ticks."""
    partitions = admin.require(topics.ticks)
    topic_id = admin.topic_id(topics.ticks)
    if topic_id is None:
        raise KafkaError(f"topic {topics.ticks} has just been deleted", "make it, and start again")
    return TickTopics(config, topics, topic_id, partitions, lambda: admin.topic_id(topics.ticks))


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Who works, and how often."""

    group: str
    emit_every: timedelta
    max_future: timedelta
    until_end: bool


class PartitionTask(Protocol):
    """What a stage does with one partition."""

    number: int

    @property
    def offset(self) -> int:
        """After the last tick applied."""

    @property
    def settled(self) -> bool:
        """Whether all that was taken is committed."""

    @property
    def full(self) -> bool:
        """Whether it wants no more for now."""

    @property
    def more(self) -> bool:
        """Whether there is something left to publish at once."""

    def take(self, found: ParsedBatch, monotonic_us: int) -> None:
        """Apply records, in the order of their offsets."""

    def at_end(self, monotonic_us: int) -> None:
        """No record is left for now."""

    def publish(self, monotonic_us: int, owner: object) -> bool:
        """Write what is due in one transaction; False if it was rolled back.

        Then ticks have to be read again from `offset`. After Fenced and Indefinite it is of no
        more use.
        """

    def close(self) -> None:
        """Let go of it; what was not committed is nobody's."""


class Stage(Protocol):
    """What is done with the partitions."""

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask:
        """A partition to go on with. Raises StateError where it cannot be gone on with."""

    def on_applied(self, work: PartitionTask) -> None:
        """A partition has been opened, or has taken ticks."""

    def on_revoked(self, number: int) -> None:
        """A partition is not this process's any more."""
