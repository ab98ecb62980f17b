"""Loads years of recorded ticks into the lake; `repair` then publishes their candles.

Ticks are appended to the table in batches, in bounded memory. Their candles are recomputed from all
ticks in the lake, so the order of files, ticks that are there already and files that are loaded
twice make no difference.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.core.recompute import END_OF_TIME_US, FROM_FILE, EventSpan
from homma.core.series import NAMES
from homma.core.tick import FIELDS, NAME_PATTERN
from homma.errors import CommitRefused, CommitUnknown, FeedError, StateError
from homma.lake.engine import CommittedState, Engine
from homma.lake.schema import INSTANT, TICKS
from homma.lake.table import Lake, Table, Uploaded
from homma.topics.offset_metadata import OffsetMetadata

log = logging.getLogger("homma.backfill")

#: Number of ticks per upload, which has at least one file per day of ticks.
_UPLOAD_TICKS: Final = 500_000
#: Number of uploads per commit.
_UPLOADS_PER_COMMIT: Final = 8
_MAX_ATTEMPTS: Final = 20
# Wait this long for a record: an open transaction ends within its timeout of 10 s.
_MAX_SILENCE_S: Final = 30.0
_PRICES: Final = ("ask", "bid", "mid")
_OPTIONAL: Final = {
    "ask_markup": ("askMarkup", pl.lit(0.0)),
    "bid_markup": ("bidMarkup", pl.lit(0.0)),
    "is_tradable": ("isTradable", pl.lit(value=True)),
}


@dataclass(slots=True)
class LoadedTicks:
    """Numbers of loaded and skipped ticks, and the newest event time of each series."""

    ticks: int = 0
    skipped: int = 0
    oldest_us: int = END_OF_TIME_US
    newest_times: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            schema={"source": pl.String, "symbol": pl.String, "newest_us": pl.Int64}
        )
    )

    def span(self) -> EventSpan:
        """The range of candles that the ticks change."""
        newest = self.newest_times["newest_us"].max()
        starts = pl.select(at=pl.lit(self.oldest_us, pl.Int64))
        first = starts.select(i.floor(pl.col("at")).alias(i.name) for i in INTERVALS)
        return EventSpan(max(0, min(first.row(0))), int(newest or 0) + 1)  # type: ignore[arg-type]

    def count(self, ticks: pl.DataFrame) -> None:
        """Count loaded ticks."""
        self.ticks += ticks.height
        self.oldest_us = min(self.oldest_us, int(ticks["event_us"].min()))  # type: ignore[arg-type]
        newest = ticks.group_by(NAMES).agg(newest_us=pl.col("event_us").max())
        self.newest_times = (
            pl.concat([self.newest_times, newest]).group_by(NAMES).agg(pl.col("newest_us").max())
        )


def load(
    frames: Iterable[pl.DataFrame],
    lake: Lake,
    first_row: int,
    *,
    skip_invalid: bool,
    on_ticks: Callable[[int], None] = lambda _: None,
) -> LoadedTicks:
    """Append recorded ticks (frames of `homma.feed`) to the tick table; creates it if missing.

    Rows are numbered from `first_row`, so that ticks of a later backfill come after earlier ones.
    """
    table, loaded = lake.ensure_table(TICKS), LoadedTicks()
    uploads: list[Uploaded] = []
    for ticks in _combined(_valid(frames, loaded, skip_invalid=skip_invalid)):
        uploads.append(table.upload(_rows(ticks, first_row + loaded.ticks)))
        loaded.count(ticks)
        if len(uploads) >= _UPLOADS_PER_COMMIT:
            _append(table, uploads)
            uploads = []
        on_ticks(loaded.ticks)
    if uploads:
        _append(table, uploads)
    return loaded


def _valid(
    frames: Iterable[pl.DataFrame], loaded: LoadedTicks, *, skip_invalid: bool
) -> Iterator[pl.DataFrame]:
    for ticks in frames:
        is_valid = pl.all_horizontal(
            *(pl.col(name).is_finite() & (pl.col(name) > 0) for name in _PRICES),
            pl.col("number") >= 0,
            pl.col("event_us").is_between(0, END_OF_TIME_US, closed="left"),
            *(pl.col(name).str.contains(NAME_PATTERN) for name in NAMES),
        )
        valid = ticks.filter(is_valid)
        if valid.height < ticks.height:
            if not skip_invalid:
                raise _invalid_tick_error(ticks.filter(~is_valid).row(0, named=True))
            loaded.skipped += ticks.height - valid.height
        if valid.height:
            yield valid


def _invalid_tick_error(tick: dict[str, object]) -> FeedError:
    values = {name: str(tick[name])[:40] for name in (*NAMES, *_PRICES, "number")}
    rules = "; ".join(f"{f.name}: {f.rule}" for f in FIELDS if f.required and f.name in values)
    return FeedError(
        f"a tick breaks the contract ({values})",
        f"fix it, or skip invalid ticks with --skip-invalid-rows ({rules})",
    )


def _combined(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Combine small frames into frames of about the size of an upload."""
    pending: list[pl.DataFrame] = []
    count = 0
    for ticks in frames:
        pending.append(ticks)
        count += ticks.height
        if count >= _UPLOAD_TICKS:
            yield pl.concat(pending, how="diagonal_relaxed")
            pending, count = [], 0
    if pending:
        yield pl.concat(pending, how="diagonal_relaxed")


def _rows(ticks: pl.DataFrame, first_row: int) -> pl.DataFrame:
    """Convert ticks to rows of the tick table."""
    instants = {"date_time": "event_us", "receive_date_time": "received_us"}
    return ticks.select(
        *NAMES,
        *_PRICES,
        "number",
        *(
            pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias(name)
            if column in ticks.columns
            else pl.lit(None, INSTANT).alias(name)
            for name, column in instants.items()
        ),
        *(
            (pl.col(column).fill_null(absent) if column in ticks.columns else absent).alias(name)
            for name, (column, absent) in _OPTIONAL.items()
        ),
        kafka_partition=pl.lit(FROM_FILE, pl.Int32),
        kafka_offset=pl.int_range(pl.len(), dtype=pl.Int64) + first_row,
    )


def _append(table: Table, uploads: list[Uploaded]) -> None:
    """Commit files exactly once, while others commit to the table too."""
    added, commit_id = Uploaded.combine(uploads), uuid.uuid4().hex
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        try:
            table.refresh()
            table.commit(added, commit_id=commit_id)
            return
        except (CommitRefused, CommitUnknown) as error:
            log.debug("%s", error)
            table.refresh()
            if table.has_commit(commit_id):
                return
            if attempt == _MAX_ATTEMPTS:
                raise


def initial_state(
    engine: Engine, topic_id: str, price: str, clock_us: int
) -> Callable[[int], CommittedState]:
    """The initial state of partitions without a committed offset: at the oldest tick in Kafka.

    StateError if a partition has candles already: they are of another engine.
    """
    run = uuid.uuid4().hex[:12]

    def state_of(partition: int) -> CommittedState:
        ranges = {
            topic: engine.reader.offset_range(topic, partition) for topic in engine.topics.candles
        }
        # Offsets alone mean nothing: aborted transactions use offsets too.
        for records in engine.reader.read(partition, ranges, _MAX_SILENCE_S):
            raise StateError(
                f"{records[0].topic()} partition {partition} has candles, but group "
                f"{engine.group} has no committed offset",
                "set --group to the group that built these candles, or use another --candle-topic",
            )
        offset = engine.reader.offset_range(engine.topics.ticks, partition).start
        metadata = OffsetMetadata(
            run=run,
            lastTicksBefore=offset,
            recallFrom=offset,
            clock=clock_us,
            candlesFrom=(clock_us // 1000,) * len(ranges),
            began=tuple(span.end for span in ranges.values()),
            begin=None,
            topicId=topic_id,
            price=price,
        )
        return CommittedState(offset, metadata)

    return state_of
