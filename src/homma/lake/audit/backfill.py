"""Loads years of recorded ticks into the lake; `repair` then publishes their candles.

Ticks are appended to the table in batches, in bounded memory. Their candles are recomputed from all
ticks in the lake, so the order of files, ticks that are there already and files that are loaded
twice make no difference.

The first ticks of a lake are an exception, as somebody waits for their candles: these are published
from memory, and then the ticks are appended. In between, a property of the table keeps verify and
repair from comparing them. If a load is interrupted, loading the files again completes it.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import polars as pl

from homma.core import tick
from homma.core.calendar import Calendar
from homma.core.fields import TICK_FIELDS, Prices, TickField
from homma.core.recompute import END_OF_TIME_US, FROM_FILE, EventSpan, RecordedTicks
from homma.core.series import NAMES
from homma.core.tick import FileTicks, Price
from homma.errors import CommitRefused, CommitUnknown, FeedError, StateError
from homma.lake.audit.correction import NEWEST_EVENT_TIME, NewestEventTimes
from homma.lake.audit.counted_ticks import MAX_TICKS, recorded_ticks
from homma.lake.audit.engine import CommittedState, Engine
from homma.lake.schema import TICKS, TickRows
from homma.lake.table import Lake, Table, Uploaded
from homma.lake.valid_prices import choose_prices
from homma.topics.offset_metadata import OffsetMetadata

log = logging.getLogger("homma.backfill")
Result = TypeVar("Result")

#: Number of ticks per upload, which has at least one file per day of ticks.
_UPLOAD_TICKS: Final = 500_000
#: Number of uploads per commit.
_UPLOADS_PER_COMMIT: Final = 8
_MAX_ATTEMPTS: Final = 20
#: The columns of recorded ticks that have the microseconds of a field.
_INSTANTS: Final = {"dateTime": "event_us", "receiveDateTime": "received_us"}
#: The fields but instants, of which recorded ticks have the microseconds.
_CHECKED: Final = tuple(f for f in TICK_FIELDS if f.kind != "instant")


@dataclass(slots=True)
class LoadedTicks:
    """Numbers of loaded and skipped ticks, and the newest event time of each series.

    `pending` are rows that will be appended to the table when their candles are published.
    """

    ticks: int = 0
    skipped: int = 0
    oldest_us: int = END_OF_TIME_US
    newest_times: NewestEventTimes = field(default_factory=NEWEST_EVENT_TIME.to_frame)
    pending: TickRows | None = None

    def span(self, calendar: Calendar) -> EventSpan:
        """The range of a calendar's candles that the ticks change."""
        newest = self.newest_times["newest_us"].max()
        starts = pl.select(at=pl.lit(self.oldest_us, pl.Int64))
        first = starts.select(i.floor(pl.col("at")).alias(i.name) for i in calendar)
        return EventSpan(max(0, min(first.row(0))), int(newest or 0) + 1)  # type: ignore[arg-type]

    def new_ticks(self, price: Price) -> RecordedTicks | None:
        """The ticks of the pending rows."""
        return None if self.pending is None else recorded_ticks(self.pending, price)

    def count(self, ticks: FileTicks) -> None:
        """Count loaded ticks."""
        self.ticks += ticks.height
        self.oldest_us = min(self.oldest_us, int(ticks["event_us"].min()))  # type: ignore[arg-type]
        newest = ticks.group_by(NAMES).agg(newest_us=pl.col("event_us").max())
        self.newest_times = (
            pl.concat([self.newest_times, newest]).group_by(NAMES).agg(pl.col("newest_us").max())
        )


def load(
    frames: Iterable[FileTicks],
    lake: Lake,
    first_row: int,
    publish: Callable[[LoadedTicks], Result],
    *,
    prices: Prices = "positive",
    skip_invalid: bool,
    on_ticks: Callable[[int], None] = lambda _: None,
) -> tuple[LoadedTicks, Result]:
    """Append ticks of files to the tick table, and `publish` their candles.

    Creates the table if it is missing. Rows are numbered from `first_row`, so that ticks of a later
    backfill come after earlier ones. Raises FeedError for invalid ticks, and if there are none.
    """
    table, loaded = lake.ensure_table(TICKS), LoadedTicks()
    choose_prices(table, prices)
    appending = _Appending(table, on_ticks)
    is_first = not table.parts()
    pending: list[TickRows] = []
    for ticks in _combined(_valid(frames, loaded, prices, skip_invalid=skip_invalid)):
        pending.append(_rows(ticks, first_row + loaded.ticks))
        loaded.count(ticks)
        if not is_first or loaded.ticks > MAX_TICKS:
            appending.add(pending)
            pending = []
    if not loaded.ticks:
        raise FeedError("the files contain no ticks", "pass files that contain ticks")
    if pending:
        table.begin_load()
        loaded.pending = pl.concat(pending)
        result = publish(loaded)
        loaded.pending = None
        appending.add(pending)
        appending.finish()
        # Another load at the same time did not know these ticks, nor this one its ticks.
        return loaded, result if appending.is_alone() else publish(loaded)
    appending.finish()
    return loaded, publish(loaded)


class _Appending:
    """Appends rows to the tick table, several uploads in each commit."""

    def __init__(self, table: Table, on_ticks: Callable[[int], None]) -> None:
        self._table = table
        self._on_ticks = on_ticks
        self._since = table.snapshot_id
        self._uploads: list[Uploaded] = []
        self._commit_ids: set[str] = set()
        self._count = 0

    def add(self, pieces: Iterable[TickRows]) -> None:
        """Upload rows, and commit them if there are many."""
        for rows in pieces:
            self._uploads.append(self._table.upload(rows))
            if len(self._uploads) >= _UPLOADS_PER_COMMIT:
                self.finish()
            self._count += rows.height
            self._on_ticks(self._count)

    def finish(self) -> None:
        """Commit what was uploaded."""
        if self._uploads:
            self._commit_ids.add(_append(self._table, self._uploads))
            self._uploads = []

    def is_alone(self) -> bool:
        """Whether only sinks have committed to the table beside this."""
        commits = self._table.commits_since(self._since)
        return commits is not None and all(
            commit.sink or commit.commit_id in self._commit_ids for commit in commits
        )


def _valid(
    frames: Iterable[FileTicks], loaded: LoadedTicks, prices: Prices, *, skip_invalid: bool
) -> Iterator[FileTicks]:
    for of_file in frames:
        absent = (pl.lit(None, f.dtype).alias(f.json) for f in _CHECKED if f.json not in of_file)
        ticks = tick.with_turnover(of_file.with_columns(absent))
        if prices == "any":
            ticks = ticks.with_columns(tick.positive_zeros())
        is_valid = pl.all_horizontal(
            *(tick.is_valid(field, prices) for field in _CHECKED),
            tick.has_turnover(),
            pl.col("event_us").is_between(0, END_OF_TIME_US, closed="left"),
        )
        valid = ticks.filter(is_valid)
        if valid.height < ticks.height:
            if not skip_invalid:
                raise _invalid_tick_error(ticks.filter(~is_valid).row(0, named=True), prices)
            loaded.skipped += ticks.height - valid.height
        if valid.height:
            yield valid


def _invalid_tick_error(row: dict[str, object], prices: Prices) -> FeedError:
    present = [field for field in _CHECKED if row[field.json] is not None or field.required]
    values = {field.json: str(row[field.json])[:40] for field in present}
    rules = "; ".join(f"{field.json}: {field.rule_for(prices)}" for field in present)
    return FeedError(
        f"a tick breaks the contract ({values})",
        f"fix it, or skip invalid ticks with --skip-invalid-rows ({rules})",
    )


def _combined(frames: Iterable[FileTicks]) -> Iterator[FileTicks]:
    """Combine small frames into frames of about the size of an upload."""
    pending: list[FileTicks] = []
    count = 0
    for ticks in frames:
        pending.append(ticks)
        count += ticks.height
        if count >= _UPLOAD_TICKS:
            yield pl.concat(pending, how="diagonal_relaxed")
            pending, count = [], 0
    if pending:
        yield pl.concat(pending, how="diagonal_relaxed")


def _rows(ticks: FileTicks, first_row: int) -> TickRows:
    """Convert ticks to rows of the tick table."""
    return ticks.select(
        *(_value(field, ticks.columns).alias(field.column) for field in TICK_FIELDS),
        kafka_partition=pl.lit(FROM_FILE, pl.Int32),
        kafka_offset=pl.int_range(pl.len(), dtype=pl.Int64) + first_row,
    )


def _value(field: TickField, columns: Sequence[str]) -> pl.Expr:
    """The value of a tick's field, which the file may not have."""
    column = _INSTANTS.get(field.json, field.json)
    value = pl.col(column) if column in columns else pl.lit(None)
    if field.kind == "instant":
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return value if field.absent is None else value.fill_null(field.absent)


def _append(table: Table, uploads: list[Uploaded]) -> str:
    """Commit files exactly once, while others commit to the table too. Returns the commit's id."""
    added, commit_id = Uploaded.combine(uploads), uuid.uuid4().hex
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        try:
            table.refresh()
            table.commit(added, commit_id=commit_id, ends_load=True)
            break
        except (CommitRefused, CommitUnknown) as error:
            log.debug("%s", error)
            table.refresh()
            if table.has_commit(commit_id):
                break
            if attempt == _MAX_ATTEMPTS:
                raise
    return commit_id


def initial_state(
    engine: Engine, topic_id: str, price: Price, prices: Prices, clock_us: int
) -> Callable[[int], CommittedState]:
    """The initial state of partitions without a committed offset: at the oldest tick in Kafka.

    StateError if a partition has candles already: they are of another engine.
    """
    run = uuid.uuid4().hex[:12]

    def state_of(partition: int) -> CommittedState:
        ranges = {
            code: engine.reader.offset_range(topic, partition)
            for code, topic in engine.topics.candles.items()
        }
        by_topic = {engine.topics.candles[code]: offsets for code, offsets in ranges.items()}
        # Offsets alone mean nothing: aborted transactions use offsets too.
        for records in engine.reader.read(partition, by_topic):
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
            candlesFrom=dict.fromkeys(ranges, clock_us // 1000),
            began={code: offsets.end for code, offsets in ranges.items()},
            begin={},
            topicId=topic_id,
            price=price,
            prices=prices,
            intervals=engine.topics.calendar.codes,
        )
        return CommittedState(offset, metadata)

    return state_of
