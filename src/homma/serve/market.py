"""What has been read, handed from the reader's thread to the loop that answers."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from homma.core.interval import INTERVALS
from homma.metrics import Metrics
from homma.serve.live import Live
from homma.serve.streams import Streams
from homma.topics.latest import CandleRecord, SeriesKey

log = logging.getLogger("homma.serve")

#: Records that are looked at in one go; requests are answered in between.
_AT_ONCE: Final = 250


class Market:
    """The state of the server. Everything in it belongs to the loop."""

    def __init__(
        self, live: Live, streams: Streams, metrics: Metrics, now_s: Callable[[], float]
    ) -> None:
        self.live = live
        self.streams = streams
        self._metrics = metrics
        self._now_s = now_s
        self._heard_s = now_s()
        self._split: set[SeriesKey] = set()
        #: Whether it is known what the newest candles are.
        self.ready = False
        #: What stands in the way of reading, if anything does.
        self.trouble = ""

    async def recent(self, records: Sequence[tuple[int, CandleRecord]]) -> None:
        """Take records that were there before: nobody is told of them one by one."""
        await self._take(records, notify=False)

    async def arrived(self, records: Sequence[tuple[int, CandleRecord]]) -> None:
        """Take new records."""
        await self._take(records, notify=True)

    async def _take(self, records: Sequence[tuple[int, CandleRecord]], *, notify: bool) -> None:
        for first in range(0, len(records), _AT_ONCE):
            if first:
                await asyncio.sleep(0)
            for interval, record in records[first : first + _AT_ONCE]:
                change = self.live.add(interval, record)
                if notify and change is not None:
                    self.streams.events.changed(interval, change)
            self.streams.notify()
        self._metrics.count("homma_candles_read", len(records))
        self._heard_s = self._now_s()

    async def on_ready(self) -> None:
        """The newest candles are there: answers make sense from now on."""
        self.ready, self.trouble = True, ""
        self._measure()

    async def on_backfilled(self, *, long: bool) -> None:
        """Everything is there; if it took `long`, clients have seen less than there is."""
        self.live.settle()
        self._measure()
        if long:
            self._replaced()

    async def clear(self) -> None:
        """The topics are others now."""
        self.live.clear()
        self._replaced()

    async def on_error(self, trouble: str) -> None:
        """Nothing can be read for now."""
        if trouble != self.trouble:
            log.warning("%s", trouble)
        self.trouble = trouble

    async def on_heartbeat(self) -> None:
        """From time to time, while Kafka answers: time passes, and what is amiss is told."""
        self.live.clocks.silent(timedelta(seconds=self._now_s() - self._heard_s))
        self._measure()

    def _measure(self) -> None:
        self.trouble = ""
        split = self.live.split()
        for source, symbol in set(split) - self._split:
            log.warning(
                "%s of %s stands in several partitions, so its candles are halves; key ticks "
                "SOURCE:SYMBOL, or run `homma aggregate --rekey`",
                symbol,
                source,
            )
        self._split = set(split)
        self._metrics.show("homma_series", len(self.live.series()))
        self._metrics.show("homma_series_split", len(split))
        self._metrics.show("homma_candles_invalid", self.live.bad())
        self._metrics.show("homma_candles_superseded", self.live.superseded())

    @property
    def split(self) -> set[SeriesKey]:
        """Series that stand in several partitions."""
        return self._split

    def _replaced(self) -> None:
        for interval in range(len(INTERVALS)):
            self.streams.events.replaced(interval)
        self.streams.notify()
