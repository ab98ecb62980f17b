"""What became of the records that were read: each of them counts exactly once. Pure."""

from dataclasses import astuple, dataclass

from homma.core.window import ApplyResult
from homma.partitions.counts import check_counts
from homma.topics.ticks import ParsedBatch


@dataclass(frozen=True, slots=True)
class TickCounts:
    """The number of records by what became of them.

    There is no other fate: the ticks of a withheld candle are accepted, and Kafka's transaction
    markers take offsets, but are not read.
    """

    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    dropped_as_late: int = 0
    dead: int = 0
    not_applicable: int = 0

    @classmethod
    def of(cls, batch: ParsedBatch, applied: ApplyResult) -> "TickCounts":
        """The counts of one batch."""
        return cls(
            read=len(batch.messages),
            accepted=applied.accepted,
            duplicate=applied.duplicates,
            dropped_as_late=applied.dropped_late.height,
            dead=batch.bad.height + applied.beyond.height,
            not_applicable=batch.not_applicable,
        )

    def plus(self, other: "TickCounts") -> "TickCounts":
        """The counts of both."""
        return TickCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def check(self, where: str, rejected: int) -> None:
        """Raise InternalError unless each record counts once.

        `rejected` is the number of records for the dead and the late topic.
        """
        late, dead = self.dropped_as_late, self.dead
        check_counts(
            where,
            "read",
            self.read,
            accepted=self.accepted,
            duplicate=self.duplicate,
            dropped_as_late=late,
            dead=dead,
            not_applicable=self.not_applicable,
        )
        check_counts(where, "rejected", rejected, dropped_as_late=late, dead=dead)
