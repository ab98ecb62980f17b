"""Reads candles from the lake's tables."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from homma.core.interval import Interval
from homma.lake import history
from homma.lake.history import HistoryQuery
from homma.lake.schema import CandleRows, candle_table
from homma.lake.table import Lake, Table
from homma.serve.live import CandleRange
from homma.topics.candle import PUBLIC_VALUES, Candle, complete, exact

#: `count` candles are searched in this many times `count` intervals, then in the whole range.
_WIDENING: Final = (1, 8, 100)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LakeReader:
    """Reads candles from the lake; each table in one thread at a time."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._locks: dict[str, threading.Lock] = {}
        self._tables: dict[str, Table] = {}

    def read(self, interval: Interval, span: CandleRange) -> Sequence[Candle]:
        """The lake's candles of a range, oldest first. Raises LakeError if it cannot be read."""
        with self._locks.setdefault(interval.code, threading.Lock()):
            table = self._table(interval)
            table.refresh()
            source, symbol = span.series
            query = HistoryQuery(symbol, source, _us(span.since), _us(span.until))
            now_us = time.time_ns() // 1000
            if span.since is None:
                rows = history.candles(table, replace(query, last=span.count), now_us)
            else:
                rows = _first(table, query, span.count, now_us)
        return list(_candles(rows))

    def _table(self, interval: Interval) -> Table:
        if interval.code not in self._tables:
            self._tables[interval.code] = self._lake.table(candle_table(interval))
        return self._tables[interval.code]

    def close(self) -> None:
        """Close the connections."""
        self._lake.close()


def _first(table: Table, query: HistoryQuery, count: int, now_us: int) -> CandleRows:
    """The oldest rows of a range, without reading more of the table than necessary."""
    interval = table.spec.interval
    assert interval is not None
    assert query.since_us is not None
    for factor in _WIDENING:
        edge_us = query.since_us + factor * count * interval.longest_us
        if query.until_us is not None and edge_us >= query.until_us:
            break
        rows = history.candles(table, replace(query, until_us=edge_us), now_us)
        if rows.height >= count or (query.until_us is None and edge_us > now_us):
            return rows.head(count)
    return history.candles(table, query, now_us).head(count)


def _candles(rows: CandleRows) -> Iterator[Candle]:
    for row in rows.iter_rows(named=True):
        # The tables of trades have the number of ticks in the column volume.
        if row["traded_volume"] is not None:
            row["volume"] = exact(row["traded_volume"])
        values = complete([_value(row[field.column]) for field in PUBLIC_VALUES])
        yield Candle((row["source"], row["symbol"]), _value(row["date_time"]), values, b"")


def _value(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _us(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - _EPOCH) // timedelta(microseconds=1)
