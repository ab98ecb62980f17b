"""Candles of a span as the lake's tables have them."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.lake import history
from homma.lake.history import HistoryQuery
from homma.lake.schema import CANDLES
from homma.lake.table import Lake, Table
from homma.serve.live import CandleRange
from homma.topics.latest import Candle

#: Candles are looked for in so many times the time that they would take, then in all.
_LOOK_ON: Final = (1, 8, 100)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LakeReader:
    """Reads one table for one at a time."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._locks = [threading.Lock() for _ in CANDLES]
        self._tables: dict[int, Table] = {}

    def read(self, interval: int, span: CandleRange) -> Sequence[Candle]:
        """The candles of a span that the lake has."""
        with self._locks[interval]:
            table = self._table(interval)
            table.refresh()
            source, symbol = span.series
            wanted = HistoryQuery(symbol, source, _us(span.since), _us(span.until))
            now_us = time.time_ns() // 1000
            if span.since is None:
                rows = history.candles(table, replace(wanted, last=span.count), now_us)
            else:
                rows = _first(table, wanted, span.count, now_us)
        return list(_candles(rows))

    def _table(self, interval: int) -> Table:
        if interval not in self._tables:
            self._tables[interval] = self._lake.table(CANDLES[interval])
        return self._tables[interval]

    def close(self) -> None:
        """Let go of the connections."""
        self._lake.close()


def _first(table: Table, wanted: HistoryQuery, count: int, now_us: int) -> pl.DataFrame:
    """The oldest rows of a range, without reading more of it than need be."""
    interval = table.spec.interval
    assert interval is not None
    assert wanted.since_us is not None
    for times in _LOOK_ON:
        edge_us = wanted.since_us + times * count * INTERVALS[interval].longest_us
        if wanted.until_us is not None and edge_us >= wanted.until_us:
            break
        rows = history.candles(table, replace(wanted, until_us=edge_us), now_us)
        if rows.height >= count or (wanted.until_us is None and edge_us > now_us):
            return rows.head(count)
    return history.candles(table, wanted, now_us).head(count)


def _candles(rows: pl.DataFrame) -> Iterator[Candle]:
    for row in rows.iter_rows(named=True):
        yield Candle(
            source=row["source"],
            symbol=row["symbol"],
            start=row["date_time"].astimezone(UTC),
            open=row["open"],
            high=row["high"],
            low=row["low"],
            close=row["close"],
            volume=row["volume"],
            is_final=row["is_final"],
            revision=row["revision"],
            text=b"",
        )


def _us(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // timedelta(microseconds=1)
