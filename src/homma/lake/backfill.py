"""Years of recorded ticks: straight into the lake, then their candles to where candles are.

The ticks are appended to the table by columns, in bounded memory. Their candles are then made as
`repair` makes them, of all that the lake holds by now: so it does not matter in which order files
come, what of them was there before, or whether the same file is loaded twice.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.core.recompute import END_OF_TIME_US, FILED, EventSpan
from homma.core.series import NAMES
from homma.core.tick import FIELDS, NAME_PATTERN
from homma.errors import CommitRefused, CommitUnknown, FeedError, StateError
from homma.lake.engine import CommittedState, Engine
from homma.lake.schema import INSTANT, TICKS
from homma.lake.table import Lake, Table, Uploaded
from homma.topics.offset_metadata import OffsetMetadata

log = logging.getLogger("homma.backfill")

#: Ticks of a file of a day, or of all days that so many ticks are of.
_UPLOAD: Final = 500_000
#: Uploads of a commit.
_UPLOADS: Final = 8
_TRIES: Final = 20
# Nothing readable for so long: an open transaction ends within its timeout of 10 s.
_PATIENCE_S: Final = 30.0
_PRICES: Final = ("ask", "bid", "mid")
_OPTIONAL: Final = {
    "ask_markup": ("askMarkup", pl.lit(0.0)),
    "bid_markup": ("bidMarkup", pl.lit(0.0)),
    "is_tradable": ("isTradable", pl.lit(value=True)),
}


@dataclass(slots=True)
class Loaded:
    """What went into the table: how many ticks, left out, and when each series' newest is dated."""

    ticks: int = 0
    bad: int = 0
    oldest_us: int = END_OF_TIME_US
    clocks: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            schema={"source": pl.String, "symbol": pl.String, "clock_us": pl.Int64}
        )
    )

    def span(self) -> EventSpan:
        """Where candles have changed."""
        newest = self.clocks["clock_us"].max()
        starts = pl.select(at=pl.lit(self.oldest_us, pl.Int64))
        first = starts.select(i.floor(pl.col("at")).alias(i.name) for i in INTERVALS)
        return EventSpan(max(0, min(first.row(0))), int(newest or 0) + 1)  # type: ignore[arg-type]

    def saw(self, ticks: pl.DataFrame) -> None:
        """Count ticks."""
        self.ticks += ticks.height
        self.oldest_us = min(self.oldest_us, int(ticks["event_us"].min()))  # type: ignore[arg-type]
        newest = ticks.group_by(NAMES).agg(clock_us=pl.col("event_us").max())
        self.clocks = pl.concat([self.clocks, newest]).group_by(NAMES).agg(pl.col("clock_us").max())


def load(
    frames: Iterable[pl.DataFrame],
    lake: Lake,
    first_row: int,
    *,
    skip_bad: bool,
    on_ticks: Callable[[int], None] = lambda _: None,
) -> Loaded:
    """Append recorded ticks (as feed's Shape gives them) to the table; it is made if missing.

    `first_row` numbers them: the ticks of one backfill come after those of an earlier one.
    """
    table, loaded = lake.make(TICKS), Loaded()
    uploads: list[Uploaded] = []
    for ticks in _gathered(_valid(frames, loaded, skip_bad=skip_bad)):
        uploads.append(table.upload(_rows(ticks, first_row + loaded.ticks)))
        loaded.saw(ticks)
        if len(uploads) >= _UPLOADS:
            _append(table, uploads)
            uploads = []
        on_ticks(loaded.ticks)
    if uploads:
        _append(table, uploads)
    return loaded


def _valid(
    frames: Iterable[pl.DataFrame], loaded: Loaded, *, skip_bad: bool
) -> Iterator[pl.DataFrame]:
    for ticks in frames:
        fine = pl.all_horizontal(
            *(pl.col(name).is_finite() & (pl.col(name) > 0) for name in _PRICES),
            pl.col("number") >= 0,
            pl.col("event_us").is_between(0, END_OF_TIME_US, closed="left"),
            *(pl.col(name).str.contains(NAME_PATTERN) for name in NAMES),
        )
        good = ticks.filter(fine)
        if good.height < ticks.height:
            if not skip_bad:
                raise _bad(ticks.filter(~fine).row(0, named=True))
            loaded.bad += ticks.height - good.height
        if good.height:
            yield good


def _bad(tick: dict[str, object]) -> FeedError:
    shown = {name: str(tick[name])[:40] for name in (*NAMES, *_PRICES, "number")}
    rules = "; ".join(f"{f.name}: {f.rule}" for f in FIELDS if f.required and f.name in shown)
    return FeedError(
        f"a tick breaks the contract ({shown})",
        f"mend it, or leave such ticks out with --skip-invalid-rows ({rules})",
    )


def _gathered(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames put together until they are worth a file."""
    held: list[pl.DataFrame] = []
    count = 0
    for ticks in frames:
        held.append(ticks)
        count += ticks.height
        if count >= _UPLOAD:
            yield pl.concat(held, how="diagonal_relaxed")
            held, count = [], 0
    if held:
        yield pl.concat(held, how="diagonal_relaxed")


def _rows(ticks: pl.DataFrame, first_row: int) -> pl.DataFrame:
    """Ticks as the table has them."""
    instant = {"date_time": "event_us", "receive_date_time": "received_us"}
    return ticks.select(
        *NAMES,
        *_PRICES,
        "number",
        *(
            pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias(name)
            if column in ticks.columns
            else pl.lit(None, INSTANT).alias(name)
            for name, column in instant.items()
        ),
        *(
            (pl.col(column).fill_null(absent) if column in ticks.columns else absent).alias(name)
            for name, (column, absent) in _OPTIONAL.items()
        ),
        kafka_partition=pl.lit(FILED, pl.Int32),
        kafka_offset=pl.int_range(pl.len(), dtype=pl.Int64) + first_row,
    )


def _append(table: Table, uploads: list[Uploaded]) -> None:
    """Commit files once, whoever else commits to the table."""
    added, commit_id = Uploaded.together(uploads), uuid.uuid4().hex
    for tried in range(1, _TRIES + 1):
        try:
            table.refresh()
            table.commit(added, commit_id=commit_id)
            return
        except (CommitRefused, CommitUnknown) as error:
            log.debug("%s", error)
            table.refresh()
            if table.holds(commit_id):
                return
            if tried == _TRIES:
                raise


def beginning(
    engine: Engine, topic_id: str, price: str, clock_us: int
) -> Callable[[int], CommittedState]:
    """Where a partition stands that no engine has committed for: at its oldest tick kept.

    StateError where it holds candles all the same: they are of another engine.
    """
    run = uuid.uuid4().hex[:12]

    def first(partition: int) -> CommittedState:
        kept = {topic: engine.reader.kept(topic, partition) for topic in engine.topics.candles}
        # What was rolled back has left offsets, and no records.
        for records in engine.reader.read(partition, kept, _PATIENCE_S):
            raise StateError(
                f"{records[0].topic()} partition {partition} holds candles, but group "
                f"{engine.group} has no committed offset for them",
                "name the --group that made them, or another --candle-topic",
            )
        offset = engine.reader.kept(engine.topics.ticks, partition).start
        mark = OffsetMetadata(
            run=run,
            lastTicksBefore=offset,
            recallFrom=offset,
            clock=clock_us,
            candlesFrom=(clock_us // 1000,) * len(kept),
            began=tuple(span.end for span in kept.values()),
            begin=None,
            topicId=topic_id,
            price=price,
        )
        return CommittedState(offset, mark)

    return first
