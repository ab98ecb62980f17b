"""Candles of any time, from memory and the lake, without gaps or duplicates.

Once the topics have been read to their beginning, memory has Kafka's newest candles of each series,
and the lake has all older ones. Together they are complete. If they differ, memory is newer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from homma.core.fill import fill_previous
from homma.core.interval import INTERVALS
from homma.serve.lake_client import LakeClient
from homma.serve.live import CandleRange, Live
from homma.serve.wire import candle_body
from homma.topics.latest import Candle

#: At most this many candles of a series are open at a time.
_MAX_OPEN: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CandlesAnswer:
    """Candles, oldest first. Not `complete` if there may be more that could not be read."""

    candles: Sequence[Candle]
    complete: bool


class CandleHistory:
    """Finds candles in memory and in the lake; `lake` is None if there is none."""

    def __init__(self, live: Live, lake: LakeClient | None) -> None:
        self.live = live
        self._lake = lake

    async def find(
        self,
        interval: int,
        span: CandleRange,
        *,
        final: bool = False,
        fill_until: datetime | None = None,
    ) -> CandlesAnswer:
        """The candles of a range; with `final` only final ones.

        With `fill_until`, intervals without ticks that start before it get the previous close.
        """
        if fill_until is not None:
            answer = await self._find_filled(interval, span, fill_until)
        elif final:
            wider = replace(span, count=span.count + _MAX_OPEN)
            answer = await self._find(interval, wider)
        else:
            return await self._find(interval, span)
        candles = self._only_final(interval, answer.candles) if final else answer.candles
        return CandlesAnswer(span.limit(candles), answer.complete)

    def _only_final(self, interval: int, candles: Sequence[Candle]) -> list[Candle]:
        """The final candles of a series; the watermark decides if the engine does not record it."""
        if not candles:
            return []
        open_from = self.live.watermarks.open_from(interval, candles[0].series)
        open_from = open_from or candles[0].start
        return [c for c in candles if c.is_final or (c.is_final is None and c.start < open_from)]

    async def _find(self, interval: int, span: CandleRange) -> CandlesAnswer:
        authoritative = self.live.authoritative(interval, span)
        if authoritative is not None:
            return CandlesAnswer(authoritative, complete=True)
        if self._lake is None:
            return CandlesAnswer(
                self.live.in_memory(interval, span), complete=self.live.is_backfilled
            )
        older = await self._lake.find(interval, span)
        if older is None:
            return CandlesAnswer(
                [_with_text(c) for c in self.live.in_memory(interval, span)], complete=False
            )
        candles = [_with_text(c) for c in self.live.merge_history(interval, span, older)]
        if not self.live.is_contiguous(interval, span, older):
            return CandlesAnswer(candles, complete=False)
        self.live.mark_complete(interval, span, candles)
        return CandlesAnswer(candles, complete=self.live.is_backfilled)

    async def _find_filled(
        self, interval: int, span: CandleRange, until: datetime
    ) -> CandlesAnswer:
        length = timedelta(microseconds=INTERVALS[interval].longest_us)
        since = span.since
        if since is None:
            since = max(_EPOCH, until - length * (span.count + 1))
        else:
            until = min(until, since + length * (span.count + 1))
        inner = await self._find(interval, CandleRange(span.series, since, until, span.count + 2))
        before = await self._find(interval, CandleRange(span.series, None, since, 1))
        candles = [*before.candles, *inner.candles]
        filled = [c for c in _fill(interval, candles, until) if c.start >= since]
        return CandlesAnswer(span.limit(filled), inner.complete and before.complete)


def _with_text(candle: Candle) -> Candle:
    return candle if candle.text else replace(candle, text=candle_body(candle))


def _fill(interval: int, candles: Sequence[Candle], until: datetime) -> list[Candle]:
    if not candles:
        return []
    source, symbol = candles[0].series
    frame = pl.DataFrame(
        {
            "source": source,
            "symbol": symbol,
            "start_us": [_us(c.start) for c in candles],
            "open": [c.open for c in candles],
            "high": [c.high for c in candles],
            "low": [c.low for c in candles],
            "close": [c.close for c in candles],
            "volume": [c.volume for c in candles],
        }
    )
    by_start_us = {_us(c.start): c for c in candles}
    filled = []
    for row in fill_previous(frame, interval, _us(until)).iter_rows(named=True):
        candle = by_start_us.get(row["start_us"])
        filled.append(candle or _with_text(_empty(source, symbol, row["start_us"], row["close"])))
    return filled


def _empty(source: str, symbol: str, start_us: int, close: float) -> Candle:
    start = _EPOCH + timedelta(microseconds=start_us)
    # Final: only a late tick can change it.
    return Candle(source, symbol, start, close, close, close, close, 0, True, 0, b"")


def _us(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
