"""Replay recorded ticks in file order: in real time, faster, or at once.

Files are read in bounded memory, batch by batch. The wall clock is an argument.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from homma.core.tick import FileTicks
from homma.feed import files
from homma.feed.instants import format_instant
from homma.feed.recorded import ColumnMapping, RowParser
from homma.feed.source import Pacer, Records
from homma.topics.codec import encode_ticks


class Recording:
    """The ticks of several files, in order. Can be read more than once."""

    def __init__(self, paths: Sequence[Path], mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self._files = [
            (path, files.open_rows(path, mapping.layout, mapping.definition)) for path in paths
        ]
        # Check the columns of all files before the first tick is sent.
        for path, rows in self._files:
            RowParser(path, rows.schema, mapping)
        #: Rows skipped in the last reading, and rows that were no ticks.
        self.skipped = 0
        self.not_ticks = 0

    def frames(self) -> Iterator[FileTicks]:
        """Non-empty batches of ticks. Numbering continues over all files."""
        self.skipped = self.not_ticks = 0
        number = 1
        for path, rows in self._files:
            parser = RowParser(path, rows.schema, self._mapping)
            for batch in rows.batches(parser.reader):
                skipped_before, not_ticks_before = parser.skipped, parser.not_ticks
                ticks = parser.ticks(batch, number)
                number += ticks.height
                self.skipped += parser.skipped - skipped_before
                self.not_ticks += parser.not_ticks - not_ticks_before
                if ticks.height:
                    yield ticks

    def count(self) -> int | None:
        """The number of ticks, or None if only reading the files can tell."""
        counts = [rows.count() for _, rows in self._files]
        is_filtered = self._mapping.definition is not None and self._mapping.definition.where
        if self._mapping.skip or is_filtered or None in counts:
            return None
        return sum(count or 0 for count in counts)


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """The number of ticks, and the event times of the first, the last and the newest tick."""

    count: int
    first_us: int
    last_us: int
    newest_us: int


def summarize(recording: Recording, limit: int) -> RecordingSummary | None:
    """Read a recording, or its first `limit` ticks (0: all). None if there are no ticks."""
    summary: RecordingSummary | None = None
    for ticks in recording.frames():
        event_us = (ticks.head(limit - (summary.count if summary else 0)) if limit else ticks)[
            "event_us"
        ]
        newest_us = int(event_us.max())  # type: ignore[arg-type]
        summary = RecordingSummary(
            count=event_us.len() + (summary.count if summary else 0),
            first_us=summary.first_us if summary else event_us[0],
            last_us=event_us[-1],
            newest_us=max(newest_us, summary.newest_us) if summary else newest_us,
        )
        if limit and summary.count >= limit:
            break
    return summary


class Replay:
    """A recording as a tick source, scheduled by event time.

    `speed` is event time over wall time; infinite sends all ticks at once. A tick with an earlier
    event time than the tick before it is sent together with that tick. `rebase` shifts all event
    times by the same amount, so that the event time of the last tick in `summary` is the time at
    which it is sent; at infinite speed, the time at which sending begins.
    """

    def __init__(
        self,
        recording: Recording,
        speed: float,
        summary: RecordingSummary | None = None,
        *,
        rebase: bool = False,
    ) -> None:
        self._speed = speed
        self._rebase = summary if rebase else None
        self._total = summary.count if summary else recording.count()
        self._frames = recording.frames()
        self._pace: Pacer | None = None
        self._newest_us = 0
        self._shift_us = 0
        self._pending = pl.DataFrame()

    @property
    def total(self) -> int | None:
        """The total number of ticks, if known."""
        return self._total

    def take(self, now_us: int, limit: int) -> Records | None:
        """The next due ticks, at most `limit`; None after the last tick."""
        if not self._pending.height and not self._next_frame():
            return None
        pace = self._pace or self._begin(now_us)
        due_us = self._pending["due_us"]
        ready = due_us.search_sorted(pace.due_us(now_us, due_us[0]), side="right")
        count = min(int(ready), limit)
        due, self._pending = self._pending.head(count), self._pending.slice(count)
        return self._records(due)

    def _begin(self, now_us: int) -> Pacer:
        pace = self._pace = Pacer(self._pending["due_us"][0], self._speed, now_us)
        if self._rebase:
            # The last tick is sent together with the newest tick.
            self._shift_us = pace.wall_us(self._rebase.newest_us) - self._rebase.last_us
        return pace

    def _next_frame(self) -> bool:
        for ticks in self._frames:
            due_us = ticks["event_us"].cum_max().clip(lower_bound=self._newest_us)
            self._newest_us = due_us[-1]
            self._pending = ticks.with_columns(due_us=due_us)
            return True
        return False

    def _records(self, ticks: FileTicks) -> Records:
        texts = [
            format_instant(pl.col(instant) + self._shift_us).alias(name)
            for instant, name in (("event_us", "dateTime"), ("received_us", "receiveDateTime"))
            if instant in ticks.columns
        ]
        keys, values = encode_ticks(ticks.with_columns(texts))
        return Records(keys, values)
