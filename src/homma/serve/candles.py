"""Candles of any time: what is in memory and what the lake has, without a gap or a repeat.

Once the topics have been read to their beginning, memory has what Kafka has, but for what there
are newer candles of; and the lake has what Kafka does not. So both together are all there is, and
where they differ memory is newer.
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
from homma.serve.wire import body
from homma.topics.latest import Candle

#: So many candles of a series may be open at a time, at most.
_OPEN: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CandlesAnswer:
    """Candles, oldest first; not `complete` where there may be more, which could not be read."""

    candles: Sequence[Candle]
    complete: bool


class CandleHistory:
    """Finds them; `past` is None where there is no lake."""

    def __init__(self, live: Live, past: LakeClient | None) -> None:
        self.live = live
        self._past = past

    async def find(
        self,
        interval: int,
        span: CandleRange,
        *,
        final: bool = False,
        fill_until: datetime | None = None,
    ) -> CandlesAnswer:
        """A span's candles; with `final` those alone that are over.

        With `fill_until`, intervals without a tick that start before it have the close before.
        """
        if fill_until is not None:
            found = await self._filled(interval, span, fill_until)
        elif final:
            more = replace(span, count=span.count + _OPEN)
            found = await self._plain(interval, more)
        else:
            return await self._plain(interval, span)
        kept = self._over(interval, found.candles) if final else found.candles
        return CandlesAnswer(span.of(kept), found.complete)

    def _over(self, interval: int, candles: Sequence[Candle]) -> list[Candle]:
        """Those of a series that are over; where their engine does not say, its clock does."""
        if not candles:
            return []
        open_from = self.live.clocks.open_from(interval, candles[0].series) or candles[0].start
        return [c for c in candles if c.is_final or (c.is_final is None and c.start < open_from)]

    async def _plain(self, interval: int, span: CandleRange) -> CandlesAnswer:
        sure = self.live.authoritative(interval, span)
        if sure is not None:
            return CandlesAnswer(sure, complete=True)
        if self._past is None:
            return CandlesAnswer(self.live.held(interval, span), complete=self.live.settled)
        older = await self._past.find(interval, span)
        if older is None:
            return CandlesAnswer(
                [_written(c) for c in self.live.held(interval, span)], complete=False
            )
        candles = [_written(c) for c in self.live.merge_history(interval, span, older)]
        if not self.live.is_contiguous(interval, span, older):
            return CandlesAnswer(candles, complete=False)
        self.live.mark_complete(interval, span, candles)
        return CandlesAnswer(candles, complete=self.live.settled)

    async def _filled(self, interval: int, span: CandleRange, until: datetime) -> CandlesAnswer:
        shape = INTERVALS[interval]
        length = timedelta(microseconds=shape.longest_us)
        since = span.since
        if since is None:
            since = max(_EPOCH, until - length * (span.count + 1))
        else:
            until = min(until, since + length * (span.count + 1))
        inner = await self._plain(interval, CandleRange(span.series, since, until, span.count + 2))
        before = await self._plain(interval, CandleRange(span.series, None, since, 1))
        candles = [*before.candles, *inner.candles]
        filled = [c for c in _fill(interval, candles, until) if c.start >= since]
        return CandlesAnswer(span.of(filled), inner.complete and before.complete)


def _written(candle: Candle) -> Candle:
    return candle if candle.text else replace(candle, text=body(candle))


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
    known = {_us(c.start): c for c in candles}
    filled = []
    for row in fill_previous(frame, interval, _us(until)).iter_rows(named=True):
        candle = known.get(row["start_us"])
        filled.append(candle or _written(_empty(source, symbol, row["start_us"], row["close"])))
    return filled


def _empty(source: str, symbol: str, start_us: int, close: float) -> Candle:
    start = _EPOCH + timedelta(microseconds=start_us)
    # It will stay as it is, unless a late tick comes.
    return Candle(source, symbol, start, close, close, close, close, 0, True, 0, b"")


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
