"""A partition's clock: Kafka's time, which runs on at the partition's end only. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class PartitionClock:
    """The largest Kafka timestamp read, microseconds; at the end also the time since.

    `ended_us` is the machine's monotonic clock when the end was reached, None before the end: a
    backlog is worked off in its own time, however long that takes here. Never goes back.
    """

    largest_us: int = 0
    ended_us: int | None = None

    def read(self, timestamp_us: int, monotonic_us: int) -> "PartitionClock":
        """A record with this timestamp was read."""
        return PartitionClock(max(self.now_us(monotonic_us), timestamp_us))

    def at_end(self, monotonic_us: int) -> "PartitionClock":
        """No record is left for now."""
        return self if self.ended_us is not None else replace(self, ended_us=monotonic_us)

    def now_us(self, monotonic_us: int) -> int:
        """What the clock says."""
        gone_by = 0 if self.ended_us is None else max(0, monotonic_us - self.ended_us)
        return self.largest_us + gone_by
