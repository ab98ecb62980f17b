"""Whether the candles of a data folder are made of the prices that `homma up` is told."""

from collections.abc import Mapping
from contextlib import closing

from homma.errors import StateError
from homma.settings import AggregateSettings
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import GroupOffsets
from homma.topics.offset_metadata import read_offset_metadata


def differ(last: Mapping[str, str], engine: AggregateSettings) -> bool:
    """Whether the last `homma up` of the folder had other prices. `last` are its settings."""
    return any(name in last and last[name] != getattr(engine, name) for name in ("price", "prices"))


def require_same(
    connection: Connection, topic: str, partitions: int, engine: AggregateSettings
) -> None:
    """Raise StateError if there are candles of other prices, before a program starts.

    With --rebuild, the engine itself says whether it can build other ones.
    """
    if engine.rebuild:
        return
    with closing(GroupOffsets(connection, engine.group, topic)) as offsets:
        for partition in range(partitions):
            committed = offsets.committed(partition)
            if committed is None:
                continue
            metadata = read_offset_metadata(committed.metadata, f"{topic} partition {partition}")
            for name in ("price", "prices"):
                former, given = getattr(metadata, name), getattr(engine, name)
                if former != given:
                    raise StateError(
                        f"the candles of this data folder are built with --{name} {former}, but "
                        f"--{name} is {given}",
                        f"omit --{name}, or use another --dir",
                    )
