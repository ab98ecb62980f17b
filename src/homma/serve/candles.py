"""Candles of any time, from memory and the lake, without gaps or duplicates.

Once the topics have been read to their beginning, memory has Kafka's newest candles of each series,
and the lake has all older ones. Together they are complete. If they differ, memory is newer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl

from homma.core.fields import CandleField
from homma.core.fill import fill_previous
from homma.core.interval import Interval
from homma.serve.lake_client import LakeClient
from homma.serve.live import CandleRange, Live
from homma.serve.wire import candle_body, is_of_trades
from homma.topics.candle import PUBLIC_VALUES, Candle

#: At most this many candles of a series are open at a time, and those that watermarks delay.
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
        interval: Interval,
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
            delayed = self.live.watermarks.watermark_delay // _length(interval)
            wider = replace(span, count=span.count + _MAX_OPEN + delayed)
            answer = await self._find(interval, wider)
        else:
            return await self._find(interval, span)
        candles = self._only_final(interval, answer.candles) if final else answer.candles
        return CandlesAnswer(span.limit(candles), answer.complete)

    def _only_final(self, interval: Interval, candles: Sequence[Candle]) -> list[Candle]:
        """The final candles of a series; the watermark decides if the engine does not record it."""
        if not candles:
            return []
        open_from = self.live.watermarks.open_from(interval, candles[0].series)
        open_from = open_from or candles[0].start
        return [c for c in candles if c.is_final or (c.is_final is None and c.start < open_from)]

    async def _find(self, interval: Interval, span: CandleRange) -> CandlesAnswer:
        authoritative = self.live.authoritative(interval.code, span)
        if authoritative is not None:
            return CandlesAnswer(authoritative, complete=True)
        if self._lake is None:
            return CandlesAnswer(
                self.live.in_memory(interval.code, span), complete=self.live.is_backfilled
            )
        older = await self._lake.find(interval, span)
        if older is None:
            return CandlesAnswer(
                [_with_text(c) for c in self.live.in_memory(interval.code, span)], complete=False
            )
        candles = [_with_text(c) for c in self.live.merge_history(interval.code, span, older)]
        if not self.live.is_contiguous(interval.code, span, older):
            return CandlesAnswer(candles, complete=False)
        self.live.mark_complete(interval.code, span, candles)
        return CandlesAnswer(candles, complete=self.live.is_backfilled)

    async def _find_filled(
        self, interval: Interval, span: CandleRange, until: datetime
    ) -> CandlesAnswer:
        length = _length(interval)
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


def _fill(interval: Interval, candles: Sequence[Candle], until: datetime) -> list[Candle]:
    if not candles:
        return []
    series = candles[0].series
    by_start_us = {_us(c.start): c for c in candles}
    # Only the starts are needed: a candle is returned as it is.
    frame = pl.DataFrame({"start_us": list(by_start_us), "close": [c.close for c in candles]})
    frame = frame.with_columns(
        source=pl.lit(series[0]),
        symbol=pl.lit(series[1]),
        **{name: pl.col("close") for name in ("open", "high", "low")},
        volume=pl.lit(0, pl.Int64),
    )
    filled: list[Candle] = []
    for start_us in fill_previous(frame, interval, _us(until))["start_us"]:
        candle = by_start_us.get(start_us)
        filled.append(candle or _with_text(_empty_after(filled[-1], start_us)))
    return filled


def _empty_after(previous: Candle, start_us: int) -> Candle:
    """A candle without ticks."""
    values = tuple(_empty_value(field, previous) for field in PUBLIC_VALUES)
    return Candle(previous.series, _EPOCH + timedelta(microseconds=start_us), values, b"")


def _empty_value(field: CandleField, previous: Candle) -> float | Decimal | bool | None:
    """A field of a candle without ticks: its prices are the previous close."""
    # Final: only a late tick can change the candle.
    state = {"is_final": True, "revision": 0}
    if field.of_tick == "price":
        return previous.close
    if field.of == "trade":
        return Decimal(0) if is_of_trades(previous) else None
    return 0 if field.of_tick == "one" else state.get(field.column)


def _length(interval: Interval) -> timedelta:
    return timedelta(microseconds=interval.longest_us)


def _us(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
