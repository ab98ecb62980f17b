"""How a consumer is configured, by what it is for.

A profile is a row: its settings, each with the reason beside it, and the errors that its reader
goes on after. The properties of the connection (`-X`) take precedence over all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from homma.topics.kafka.triage import ErrorKind

#: librdkafka's names, with underscores instead of dots.
Settings = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Profile:
    """The settings of a consumer, and the errors after which its reader goes on."""

    settings: Settings
    goes_on: frozenset[ErrorKind] = frozenset()


_ALL: Final[Settings] = {
    # librdkafka wants a name, even if the consumer joins no group.
    "group_id": "homma-reader",
    # Offsets are committed together with what was made of the records, or not at all.
    "enable_auto_commit": False,
    "enable_auto_offset_store": False,
    # What an open transaction has written may still be rolled back.
    "isolation_level": "read_committed",
    # Records that are gone are an error, not a reason to skip to others.
    "auto_offset_reset": "error",
}
_SMALL_FETCHES: Final[Settings] = {
    # How soon fetching resumes after a full queue; the default is a second.
    "fetch_queue_backoff_ms": 10,
    # Each fetch is decompressed as a whole, and ticks are ten times as large then.
    "queued_min_messages": 20_000,
    "queued_max_messages_kbytes": 4096,
    "fetch_max_bytes": 2 << 20,
    "max_partition_fetch_bytes": 512 << 10,
}

#: A member of a consumer group, which reads the partitions that the group gives it.
GROUP_MEMBER: Final = Profile(
    {
        **_ALL,
        **_SMALL_FETCHES,
        # The ends tell that nothing is left for now.
        "enable_partition_eof": True,
        # Members keep their partitions while others are moved.
        "partition_assignment_strategy": "cooperative-sticky",
        # How long to wait for a lost response; the default is a minute.
        "socket_timeout_ms": 10_000,
        # How soon changes of the topic are noticed.
        "topic_metadata_refresh_interval_ms": 5_000,
        # A tick waits at most this long for others.
        "fetch_wait_max_ms": 10,
    }
)
#: Looks at the offsets of a group without being a member.
GROUP_OBSERVER: Final = Profile(_ALL)
#: Reads all partitions of several topics without a group; the caller keeps the offsets.
ASSIGNED: Final = Profile(
    {
        **_ALL,
        **_SMALL_FETCHES,
        # A table that has read everything may say so.
        "enable_partition_eof": True,
        # Tables are seconds behind anyway, and larger fetches cost less.
        "fetch_wait_max_ms": 50,
    },
    # The caller knows where to start again; an unreachable broker only means no records.
    frozenset({ErrorKind.OFFSET_GONE, ErrorKind.UNREACHABLE}),
)
#: Shows new records to people, for as long as they look.
FOLLOWER: Final = Profile(
    {
        **_ALL,
        # Retention may delete unread records; continue with the oldest one left.
        "auto_offset_reset": "earliest",
        "fetch_wait_max_ms": 100,
    },
    # Until librdkafka has reconnected, there are no new records.
    frozenset({ErrorKind.UNREACHABLE}),
)
#: Reads a range of offsets and ends.
BOUNDED: Final = Profile(
    {
        **_ALL,
        # Transaction markers may follow the last record: without the end, it would wait for more.
        "enable_partition_eof": True,
        # The last fetch of a range waits in vain for this long.
        "fetch_wait_max_ms": 20,
    }
)
#: Looks up the real end of a partition. To a read_committed consumer, a partition ends before the
#: first open transaction.
UNCOMMITTED: Final = Profile({**_ALL, "isolation_level": "read_uncommitted"})
