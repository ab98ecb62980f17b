"""The partition clock: Kafka's time, which keeps running at the end of the partition. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class PartitionClock:
    """The largest Kafka timestamp read, plus the time since the end was reached; never goes back.

    `end_reached_us` is the machine's monotonic clock at the end of the partition, None before it:
    in a backlog, time follows the timestamps, however long reading takes. All in microseconds.
    """

    largest_us: int = 0
    end_reached_us: int | None = None

    def after_record(self, timestamp_us: int, monotonic_us: int) -> "PartitionClock":
        """The clock after a record with this timestamp."""
        return PartitionClock(max(self.now_us(monotonic_us), timestamp_us))

    def at_end(self, monotonic_us: int) -> "PartitionClock":
        """The clock when no record is left for now."""
        if self.end_reached_us is not None:
            return self
        return replace(self, end_reached_us=monotonic_us)

    def now_us(self, monotonic_us: int) -> int:
        """The current time of this clock."""
        if self.end_reached_us is None:
            return self.largest_us
        return self.largest_us + max(0, monotonic_us - self.end_reached_us)
