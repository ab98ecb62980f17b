"""Recorded ticks, sent as fast as they came, faster, or at once; in the order of the files.

Files are read in bounded memory, batch by batch. The wall clock is an argument.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from homma.feed import files
from homma.feed.instants import dated
from homma.feed.recorded import Layout, Shape
from homma.feed.source import Pacer, Records
from homma.topics.codec import ticks_to


class Recording:
    """The ticks of files, one after the other. Can be read more than once."""

    def __init__(self, paths: Sequence[Path], layout: Layout, separator: str = ",") -> None:
        self._layout = layout
        self._scans = [(path, files.scan(path, separator)) for path in paths]
        # Columns of all files are judged before the first tick is sent.
        for path, rows in self._scans:
            Shape(path, rows.collect_schema(), layout)
        #: Rows left out when it was last read.
        self.skipped = 0

    def frames(self) -> Iterator[pl.DataFrame]:
        """Ticks, as Shape gives them, not empty; numbered through all files where they are not."""
        self.skipped = 0
        number = 1
        for path, rows in self._scans:
            shape = Shape(path, rows.collect_schema(), self._layout)
            for batch in files.batches(path, rows.select(shape.columns)):
                before = shape.skipped
                ticks = shape.ticks(batch, number)
                number += ticks.height
                self.skipped += shape.skipped - before
                if ticks.height:
                    yield ticks

    def count(self) -> int | None:
        """How many ticks there are, where that is known without reading them."""
        counts = [files.count(path, rows) for path, rows in self._scans]
        if self._layout.skip or None in counts:
            return None
        return sum(count or 0 for count in counts)


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """What a recording was found to hold: ticks, and when the first, last and newest are dated."""

    count: int
    first_us: int
    last_us: int
    newest_us: int


def survey(recording: Recording, limit: int) -> RecordingSummary | None:
    """Read a recording, or its first `limit` ticks (0: all), once; None where it has none."""
    span: RecordingSummary | None = None
    for ticks in recording.frames():
        event_us = (ticks.head(limit - (span.count if span else 0)) if limit else ticks)["event_us"]
        newest_us = int(event_us.max())  # type: ignore[arg-type]
        span = RecordingSummary(
            count=event_us.len() + (span.count if span else 0),
            first_us=span.first_us if span else event_us[0],
            last_us=event_us[-1],
            newest_us=max(newest_us, span.newest_us) if span else newest_us,
        )
        if limit and span.count >= limit:
            break
    return span


class Replay:
    """A recording as a source. Its schedule is the ticks' own dates.

    `speed` is event time over wall time, infinite for at once. A tick dated before the one
    ahead of it goes out with that one. With `rebase` all dates are moved by one and the same
    amount, so that the last of `span` is sent when it is dated: by the schedule; at infinite
    speed it is dated when sending begins.
    """

    def __init__(
        self,
        recording: Recording,
        speed: float,
        span: RecordingSummary | None = None,
        *,
        rebase: bool = False,
    ) -> None:
        self._speed = speed
        self._rebase = span if rebase else None
        self._total = span.count if span else recording.count()
        self._frames = recording.frames()
        self._pace: Pacer | None = None
        self._newest_us = 0
        self._shift_us = 0
        self._pending = pl.DataFrame()

    @property
    def total(self) -> int | None:
        """How many ticks there are in all, where that is known."""
        return self._total

    def take(self, now_us: int, most: int) -> Records | None:
        """The next ticks that are due, `most` at most; None after the last."""
        if not self._pending.height and not self._next_frame():
            return None
        pace = self._pace or self._begin(now_us)
        due_us = self._pending["due_us"]
        ready = due_us.search_sorted(pace.due_us(now_us, due_us[0]), side="right")
        count = min(int(ready), most)
        taken, self._pending = self._pending.head(count), self._pending.slice(count)
        return self._records(taken)

    def _begin(self, now_us: int) -> Pacer:
        pace = self._pace = Pacer(self._pending["due_us"][0], self._speed, now_us)
        if self._rebase:
            # The newest tick is the last on the schedule, whatever the last is dated.
            self._shift_us = pace.wall_us(self._rebase.newest_us) - self._rebase.last_us
        return pace

    def _next_frame(self) -> bool:
        for ticks in self._frames:
            due_us = ticks["event_us"].cum_max().clip(lower_bound=self._newest_us)
            self._newest_us = due_us[-1]
            self._pending = ticks.with_columns(due_us=due_us)
            return True
        return False

    def _records(self, taken: pl.DataFrame) -> Records:
        texts = [
            dated(pl.col(instant) + self._shift_us).alias(name)
            for instant, name in (("event_us", "dateTime"), ("received_us", "receiveDateTime"))
            if instant in taken.columns
        ]
        keys, values = ticks_to(taken.with_columns(texts))
        return Records(keys, values)
