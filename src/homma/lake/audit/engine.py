"""The state that the engine has committed, for verify, repair and backfill."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from homma.core.calendar import Calendar
from homma.core.tick import TickRules
from homma.errors import StateError
from homma.formats import CURRENT, FORMAT
from homma.topics.contract import Topics
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import Committed, GroupOffsets, Reader
from homma.topics.offset_metadata import (
    DAY_STARTS,
    OffsetMetadata,
    read_forward_metadata,
    read_offset_metadata,
)


@dataclass(frozen=True, slots=True)
class CommittedState:
    """A committed offset, its offset metadata and the format version of the metadata."""

    offset: int
    metadata: OffsetMetadata
    version: int = CURRENT


class Engine:
    """The engine's consumer group, seen from outside."""

    def __init__(self, connection: Connection, topics: Topics, group: str, partitions: int) -> None:
        self.connection = connection
        self.topics = topics
        self.group = group
        self.partitions = partitions
        self.reader = Reader(connection)
        self._group = GroupOffsets(connection, group, topics.ticks)

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
        metadata = read_offset_metadata(committed.metadata, where)
        return CommittedState(committed.offset, metadata, _format(committed.metadata))

    def committed_states(self) -> Mapping[int, CommittedState]:
        """The committed states of all partitions that have one."""
        states = {
            partition: self.committed_state(partition) for partition in range(self.partitions)
        }
        return {partition: state for partition, state in states.items() if state is not None}

    def clock_us(self, partition: int, state: CommittedState, wall_us: int) -> int:
        """The partition clock: the wall clock, unless the engine has ticks left to read."""
        first_ms = self.reader.first_timestamp_ms(self.topics.ticks, partition, state.offset)
        return wall_us if first_ms is None else min(wall_us, first_ms * 1000)

    def first_tick_since(self, partition: int, timestamp_ms: int) -> int | None:
        """The offset of the first tick with this Kafka timestamp or a later one."""
        return self.reader.offset_for_time(self.topics.ticks, partition, max(0, timestamp_ms))

    def group_metadata(self) -> object:
        """The group metadata that a transaction needs to commit offsets."""
        return self._group.group_metadata()

    def close(self) -> None:
        """Close the connections."""
        self.reader.close()
        self._group.close()


def _is_rekeyed(committed: Committed, where: str) -> bool:
    try:
        read_forward_metadata(committed.metadata, where)
    except StateError:
        return False
    return True


def _format(text: str) -> int:
    """The format version of offset metadata that `read_offset_metadata` accepts."""
    return int(json.loads(text).get(FORMAT, 1))


def check_settings(
    states: Mapping[int, CommittedState],
    group: str,
    rules: TickRules,
    calendar: Calendar,
) -> None:
    """StateError if the engine was told another price, other valid prices or other intervals."""
    for state in states.values():
        metadata = state.metadata
        if metadata.price != rules.price:
            raise StateError(
                f"the candles are built from {metadata.price}, but --price is {rules.price}",
                f"set --price {metadata.price}",
            )
        if metadata.prices != rules.prices:
            raise StateError(
                f"the candles are built with --prices {metadata.prices}, but --prices is "
                f"{rules.prices}",
                f"set --prices {metadata.prices}",
            )
        if metadata.dayStarts != DAY_STARTS:
            raise StateError(
                f"the candles of group {group} have days that start at {metadata.dayStarts}, "
                "which this homma cannot compute",
                "upgrade this homma",
            )
        if metadata.intervals != calendar.codes:
            intervals = ",".join(metadata.intervals)
            raise StateError(
                f"the engine of group {group} has the intervals {intervals}, but --intervals is "
                f"{calendar}",
                f"set --intervals {intervals}, or start `homma aggregate` with --intervals "
                f"{calendar}",
            )
