"""Older candles, out of the lake, beside a loop that must not wait."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.errors import LakeError, Refused
from homma.lake import history
from homma.lake.history import Wanted
from homma.lake.schema import CANDLES
from homma.lake.table import Lake, Table
from homma.metrics import Metrics
from homma.serve.live import Span
from homma.topics.latest import Candle

log = logging.getLogger("homma.serve")

_THREADS: Final = 4
#: More questions than this at a time are refused.
_MOST: Final = 64
_ANSWER_WITHIN_S: Final = 20.0
#: So long nothing is asked of a lake that did not answer.
_PAUSE_S: Final = 5.0
#: Candles are looked for in so many times the time that they would take, then in all.
_LOOK_ON: Final = (1, 8, 100)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Past:
    """Asks the lake; where it is away, one goes on without it for a moment."""

    def __init__(self, connect: Callable[[], Lake], metrics: Metrics) -> None:
        self._connect = connect
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(_THREADS, "lake")
        self._locks = [threading.Lock() for _ in CANDLES]
        self._connecting = threading.Lock()
        self._lake: Lake | None = None
        self._tables: dict[int, Table] = {}
        self._asked = 0
        self._not_before_s = 0.0

    async def find(self, interval: int, span: Span) -> Sequence[Candle] | None:
        """What the lake has of a span; None where it does not answer."""
        if time.monotonic() < self._not_before_s:
            return None
        if self._asked >= _MOST:
            raise Refused("too many questions are put to the lake", "ask again later", 429)
        self._asked += 1
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._threads, self._read, interval, span)
        reading.add_done_callback(self._answered)
        try:
            found = await asyncio.wait_for(asyncio.shield(reading), _ANSWER_WITHIN_S)
        except (LakeError, TimeoutError) as error:
            self._metrics.count("homma_lake_reads", 1, "failed")
            self._not_before_s = time.monotonic() + _PAUSE_S
            log.warning("without the lake for now: %s", error or "it takes too long")
            return None
        self._metrics.count("homma_lake_reads", 1, "answered")
        return found

    def _answered(self, reading: "asyncio.Future[Sequence[Candle]]") -> None:
        self._asked -= 1
        if not reading.cancelled():
            # Nobody may be waiting for it any more.
            reading.exception()

    def _read(self, interval: int, span: Span) -> Sequence[Candle]:
        with self._locks[interval]:
            table = self._table(interval)
            table.refresh()
            source, symbol = span.series
            wanted = Wanted(symbol, source, _us(span.since), _us(span.until))
            now_us = time.time_ns() // 1000
            if span.since is None:
                rows = history.candles(table, replace(wanted, last=span.count), now_us)
            else:
                rows = _first(table, wanted, span.count, now_us)
        return list(_candles(rows))

    def _table(self, interval: int) -> Table:
        with self._connecting:
            if self._lake is None:
                self._lake = self._connect()
            if interval not in self._tables:
                self._tables[interval] = self._lake.table(CANDLES[interval])
            return self._tables[interval]

    def close(self) -> None:
        """Let go of the connections; who still waits gets no answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._lake is not None:
            self._lake.close()


def _first(table: Table, wanted: Wanted, count: int, now_us: int) -> pl.DataFrame:
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
