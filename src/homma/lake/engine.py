"""What the engine has committed, for those who come after it."""

from collections.abc import Mapping
from dataclasses import dataclass

from homma.errors import StateError
from homma.topics.contract import Topics
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Committed, GroupReader, Reader
from homma.topics.offset_metadata import OffsetMetadata, read_offset_metadata, read_rekey_metadata

# Never a member: sessions do not matter.
_SESSION_MS = 6_000


@dataclass(frozen=True, slots=True)
class CommittedState:
    """A committed offset and the mark beside it."""

    offset: int
    mark: OffsetMetadata


class Engine:
    """The consumer group that makes the candles, looked at from outside."""

    def __init__(self, config: Connection, topics: Topics, group: str, partitions: int) -> None:
        self.config = config
        self.topics = topics
        self.group = group
        self.partitions = partitions
        self.reader = Reader(config)
        self._group = GroupReader(config, group, topics.ticks, _SESSION_MS)

    def standing(self, partition: int) -> CommittedState | None:
        """Where a partition stands; None where nothing was committed.

        StateError where its ticks are keyed anew: then offsets are those of another topic.
        """
        found = self._group.committed(partition)
        if found is None:
            return None
        where = f"{self.topics.ticks} partition {partition}"
        if _is_onward(found, where):
            raise StateError(
                f"the ticks of {where} are keyed anew (--rekey)",
                f"name the topic that they are sent on to by --topic, {self.topics.by_series}",
            )
        return CommittedState(found.offset, read_offset_metadata(found.metadata, where))

    def standings(self) -> Mapping[int, CommittedState]:
        """Where all partitions stand that the engine has committed."""
        found = {partition: self.standing(partition) for partition in range(self.partitions)}
        return {partition: at for partition, at in found.items() if at is not None}

    def owner(self) -> object:
        """What a transaction wants to know of the group."""
        return self._group.owner()

    def close(self) -> None:
        """Let go of the connections."""
        self.reader.close()
        self._group.close()


def _is_onward(found: Committed, where: str) -> bool:
    try:
        read_rekey_metadata(found.metadata, where)
    except StateError:
        return False
    return True


def price_of(standings: Mapping[int, CommittedState], price: str) -> None:
    """StateError where the candles are made of another price than is asked for."""
    for standing in standings.values():
        if standing.mark.price != price:
            raise StateError(
                f"the candles are made of {standing.mark.price}, and --price says {price}",
                f"use --price {standing.mark.price}",
            )
