"""What sinks of all kinds have taken from a topic and not yet committed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.series_partitions import SeriesPartitions
from homma.core.tick import TickRules
from homma.lake.land import newest, records
from homma.lake.land.newest import RecordRows, SeriesTimes
from homma.lake.land.sink import Pending, SourceTopic
from homma.lake.schema import CANDLE_KEY, TICK_ROW, TickRows
from homma.metrics import Metrics
from homma.topics import precedence
from homma.topics.kafka.reading import Message

log = logging.getLogger("homma.land")

#: Commit early at this number of rows, to bound memory.
_MAX_ROWS: Final = 100_000
#: Reduce buffered candle records at this number.
_REDUCE_AT: Final = 50_000
_MAX_LOGGED: Final = 5


@dataclass(frozen=True, slots=True)
class TickBatch:
    """Rows of the tick table, and per partition the offset after the last record taken."""

    rows: TickRows
    position: Mapping[int, int]


class TickBuffer:
    """The valid ticks of a topic."""

    def __init__(self, metrics: Metrics, rules: TickRules) -> None:
        self._metrics = metrics
        self._rules = rules
        self._rows: list[TickRows] = []
        self._height = 0
        self._position: dict[int, int] = {}

    def take(self, batches: Mapping[int, list[Message]], ends: Mapping[int, int]) -> None:
        """Buffer the valid ticks of records by partition, and go on to the ends of partitions."""
        if batches:
            rows = records.ticks(batches, self._rules)
            self._rows.append(rows)
            self._height += rows.height
            self._metrics.count("homma_ticks_read", rows.height)
        self._position |= _next_offsets(batches)
        for partition, end in ends.items():
            # Transaction markers are not records.
            self._position[partition] = max(self._position.get(partition, 0), end)

    def pending(self, stored: Mapping[int, int]) -> Pending:
        """What waits, given the stored position. Offsets alone are committed too.

        Stored, they tell landed offsets from lost ones.
        """
        if self._height >= _MAX_ROWS:
            return Pending.FULL
        has_advanced = any(stored.get(p) != offset for p, offset in self._position.items())
        return Pending.SOME if has_advanced else Pending.NOTHING

    def cut(self) -> TickBatch:
        """All ticks so far; later ones belong to the next batch."""
        rows = pl.concat([TICK_ROW.to_frame(), *self._rows])
        self._rows, self._height = [], 0
        return TickBatch(rows, dict(self._position))


@dataclass(frozen=True, slots=True)
class CandleBatch:
    """One record per key, and per partition the offset after the last one taken.

    `times` are the series' times at that moment. `count` is the number of records before they were
    reduced.
    """

    reduced: RecordRows
    times: SeriesTimes
    position: Mapping[int, int]
    count: int


class CandleBuffer:
    """The candles and tombstones of a topic, reduced to the newest record of each key.

    `times` are those of the series of stored candles that are still open.
    """

    def __init__(self, source: SourceTopic, metrics: Metrics, times: SeriesTimes) -> None:
        assert source.interval is not None
        self._source = source
        self._interval = source.interval.name
        self._metrics = metrics
        self._times = times
        self._series_partitions = SeriesPartitions()
        self._batches: list[RecordRows] = []
        self._position: dict[int, int] = {}
        self._height = 0
        self._count = 0

    def take(self, batches: Mapping[int, list[Message]]) -> None:
        """Buffer the candles of records by partition."""
        for partition, messages in batches.items():
            parsed = records.candles(messages)
            self._report(partition, parsed.invalid)
            self._add(parsed.records)
        self._position |= _next_offsets(batches)
        if self._height >= _REDUCE_AT:
            self._reduce()

    def _report(self, partition: int, invalid: tuple[Message, ...]) -> None:
        for message in invalid[:_MAX_LOGGED]:
            log.warning(
                "skipped a record that is not a candle: %s, partition %d, offset %s, key %r",
                self._source.topic,
                partition,
                message.offset(),
                (message.key() or b"")[:200],
            )
        if invalid:
            self._metrics.count("homma_records_invalid", len(invalid), self._interval)

    def _add(self, rows: RecordRows) -> None:
        own = rows.filter(pl.col("revision").is_not_null())
        self._series_partitions.require_unsplit(own, self._source.topic)
        self._times = newest.advance(self._times, rows)
        self._batches.append(rows)
        self._height += rows.height
        self._count += rows.height

    @property
    def pending(self) -> Pending:
        """What waits. Offsets alone need no commit: candle topics are compacted."""
        if self._height >= _MAX_ROWS:
            return Pending.FULL
        return Pending.SOME if self._batches else Pending.NOTHING

    def _reduce(self) -> RecordRows:
        reduced = precedence.reduce(pl.concat(self._batches), CANDLE_KEY)
        if reduced.superseded:
            self._metrics.count("homma_records_superseded", reduced.superseded, self._interval)
        self._batches, self._height = [reduced.records], reduced.records.height
        return reduced.records

    def cut(self) -> CandleBatch:
        """All candles so far; later ones belong to the next batch."""
        batch = CandleBatch(self._reduce(), self._times, dict(self._position), self._count)
        self._batches, self._height, self._count = [], 0, 0
        return batch


def _next_offsets(batches: Mapping[int, list[Message]]) -> dict[int, int]:
    return {p: (messages[-1].offset() or 0) + 1 for p, messages in batches.items()}
