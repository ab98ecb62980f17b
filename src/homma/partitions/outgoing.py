"""Records on their way to other topics, by columns, with the records that they come from. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from homma.topics.contract import Headers


@dataclass(frozen=True, slots=True)
class OutgoingRecords:
    """Records for one topic. `rows` are the indices of the records that they come from, ascending.

    A record may become several, or none.
    """

    rows: Sequence[int] = ()
    keys: Sequence[bytes | None] = ()
    values: Sequence[bytes | None] = ()
    timestamps_ms: Sequence[int] = ()
    headers: Sequence[Headers] = ()

    def part(self, first_row: int, end_row: int) -> "OutgoingRecords":
        """Those that come from the records [first_row, end_row)."""
        first, end = bisect_left(self.rows, first_row), bisect_left(self.rows, end_row)
        if (first, end) == (0, len(self.rows)):
            return self
        return OutgoingRecords(
            self.rows[first:end],
            self.keys[first:end],
            self.values[first:end],
            self.timestamps_ms[first:end],
            self.headers[first:end],
        )


@dataclass(frozen=True, slots=True)
class OutgoingBatch:
    """What becomes of the records of one partition: at least one record, in offset order.

    event_times_us: the newest event time in each record, 0 in one without a tick. offsets: of the
    records. forwarded: ticks by series. dead: dead letters. left_out: the indices of the records
    that have neither. not_ticks: for each record within these that is no tick, the index of the
    record. Indices are ascending.
    """

    offsets: Sequence[int]
    event_times_us: Sequence[int]
    forwarded: OutgoingRecords
    dead: OutgoingRecords = field(default_factory=OutgoingRecords)
    left_out: Sequence[int] = ()
    not_ticks: Sequence[int] = ()

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.offsets[-1] + 1

    def __len__(self) -> int:
        return len(self.offsets)


class WaitingBatch:
    """A batch of which the first records may be forwarded already.

    `newest_us` is the largest event time before the batch.
    """

    def __init__(self, batch: OutgoingBatch, newest_us: int) -> None:
        self._batch = batch
        #: For each record, the largest event time up to it.
        self._event_times_us = list(accumulate(batch.event_times_us, max, initial=newest_us))[1:]
        self._first = 0

    def __len__(self) -> int:
        return len(self._batch) - self._first

    @property
    def oldest_us(self) -> int:
        """The event time of the first waiting record."""
        return self._event_times_us[self._first]

    @property
    def newest_us(self) -> int:
        """The event time of the last record."""
        return self._event_times_us[-1]

    def due(self, limit_us: float) -> int:
        """The number of waiting records that may be forwarded."""
        return bisect_right(self._event_times_us, limit_us, self._first) - self._first

    def first(self, count: int) -> OutgoingBatch:
        """The first waiting records."""
        batch, first, end = self._batch, self._first, self._first + count
        if (first, end) == (0, len(batch)):
            return batch
        return OutgoingBatch(
            batch.offsets[first:end],
            batch.event_times_us[first:end],
            batch.forwarded.part(first, end),
            batch.dead.part(first, end),
            _between(batch.left_out, first, end),
            _between(batch.not_ticks, first, end),
        )

    def drop(self, count: int) -> None:
        """Remove the first waiting records, which were forwarded."""
        self._first += count


def _between(rows: Sequence[int], first: int, end: int) -> Sequence[int]:
    return rows[bisect_left(rows, first) : bisect_left(rows, end)]
