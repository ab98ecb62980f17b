"""The state that the engine has committed, for verify, repair and backfill."""

from collections.abc import Mapping
from dataclasses import dataclass

from homma.errors import StateError
from homma.topics.contract import Topics
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Committed, GroupReader, Reader
from homma.topics.offset_metadata import OffsetMetadata, read_offset_metadata, read_rekey_metadata

# This consumer never joins the group, so the session timeout does not matter.
_SESSION_MS = 6_000


@dataclass(frozen=True, slots=True)
class CommittedState:
    """A committed offset and its offset metadata."""

    offset: int
    metadata: OffsetMetadata


class Engine:
    """The engine's consumer group, seen from outside."""

    def __init__(self, config: Connection, topics: Topics, group: str, partitions: int) -> None:
        self.config = config
        self.topics = topics
        self.group = group
        self.partitions = partitions
        self.reader = Reader(config)
        self._group = GroupReader(config, group, topics.ticks, _SESSION_MS)

    def committed_state(self, partition: int) -> CommittedState | None:
        """The committed state of a partition; None if nothing was committed.

        StateError if the engine runs with --rekey: then its offsets are those of another topic.
        """
        committed = self._group.committed(partition)
        if committed is None:
            return None
        where = f"{self.topics.ticks} partition {partition}"
        if _is_rekeyed(committed, where):
            raise StateError(
                f"the ticks of {where} are rekeyed (--rekey)",
                f"use the rekeyed topic: --topic {self.topics.by_series}",
            )
        return CommittedState(committed.offset, read_offset_metadata(committed.metadata, where))

    def committed_states(self) -> Mapping[int, CommittedState]:
        """The committed states of all partitions that have one."""
        states = {
            partition: self.committed_state(partition) for partition in range(self.partitions)
        }
        return {partition: state for partition, state in states.items() if state is not None}

    def group_metadata(self) -> object:
        """The group metadata that a transaction needs to commit offsets."""
        return self._group.group_metadata()

    def close(self) -> None:
        """Close the connections."""
        self.reader.close()
        self._group.close()


def _is_rekeyed(committed: Committed, where: str) -> bool:
    try:
        read_rekey_metadata(committed.metadata, where)
    except StateError:
        return False
    return True


def check_price(states: Mapping[int, CommittedState], price: str) -> None:
    """StateError if the candles are built from another price than `price`."""
    for state in states.values():
        if state.metadata.price != price:
            raise StateError(
                f"the candles are built from {state.metadata.price}, but --price is {price}",
                f"set --price {state.metadata.price}",
            )
