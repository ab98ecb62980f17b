"""The state of the server: candles that the feed's thread hands over to the event loop."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from homma.metrics import Metrics
from homma.serve.live import Live
from homma.serve.streams import Streams
from homma.topics.candle import SeriesKey
from homma.topics.latest import CandleRecord

log = logging.getLogger("homma.serve")

#: Records applied before the event loop may answer other requests.
_CHUNK: Final = 250


class Market:
    """The live candles, the streams and the server's readiness. Used only in the event loop."""

    def __init__(
        self, live: Live, streams: Streams, metrics: Metrics, now_s: Callable[[], float]
    ) -> None:
        self.live = live
        self.streams = streams
        self._metrics = metrics
        self._now_s = now_s
        self._last_read_s = now_s()
        #: Series that are in several partitions.
        self.split_series: set[SeriesKey] = set()
        #: Whether the newest candles have been read.
        self.is_ready = False
        #: Why Kafka cannot be read right now; empty if it can.
        self.error = ""

    async def add_history(self, records: Sequence[tuple[str, CandleRecord]]) -> None:
        """Apply (interval, record) pairs of the backfill, without an event for each change."""
        await self._add(records, notify=False)

    async def add_live(self, records: Sequence[tuple[str, CandleRecord]]) -> None:
        """Apply new (interval, record) pairs, with an event for each change."""
        await self._add(records, notify=True)

    async def _add(self, records: Sequence[tuple[str, CandleRecord]], *, notify: bool) -> None:
        for first in range(0, len(records), _CHUNK):
            if first:
                await asyncio.sleep(0)
            for interval, record in records[first : first + _CHUNK]:
                change = self.live.add(interval, record)
                if notify and change is not None:
                    self.streams.events.add_change(interval, change)
            self.streams.notify()
        self._metrics.count("homma_candles_read", len(records))
        self._last_read_s = self._now_s()

    async def on_ready(self) -> None:
        """The newest candles have been read: answers are correct from now on."""
        self.is_ready, self.error = True, ""
        self._update_metrics()

    async def on_backfilled(self, *, reset: bool) -> None:
        """The topics have been read to their beginning. `reset`: clients have to reload."""
        self.live.mark_backfilled()
        self._update_metrics()
        if reset:
            self._reset_clients()

    async def clear(self) -> None:
        """Discard everything, as the topics were replaced."""
        self.live.clear()
        self._reset_clients()

    async def on_error(self, error: str) -> None:
        """Kafka cannot be read right now."""
        if error != self.error:
            log.warning("%s", error)
        self.error = error

    async def on_heartbeat(self) -> None:
        """Called regularly while Kafka answers: advance idle watermarks and update metrics."""
        self.live.watermarks.advance_idle(timedelta(seconds=self._now_s() - self._last_read_s))
        self._update_metrics()

    def _update_metrics(self) -> None:
        self.error = ""
        split = set(self.live.split_series())
        for source, symbol in split - self.split_series:
            log.warning(
                "%s from %s is in several partitions, so its candles are incomplete; key ticks "
                "as SOURCE:SYMBOL, or run `homma aggregate --rekey`",
                symbol,
                source,
            )
        self.split_series = split
        self._metrics.set("homma_series", len(self.live.series()))
        self._metrics.set("homma_series_split", len(split))
        self._metrics.set("homma_candles_invalid", self.live.invalid_count())
        self._metrics.set("homma_candles_superseded", self.live.superseded_count())

    def _reset_clients(self) -> None:
        for interval in self.live.calendar.codes:
            self.streams.events.add_reset(interval)
        self.streams.notify()
