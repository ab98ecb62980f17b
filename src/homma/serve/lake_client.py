"""Older candles, out of the lake, beside a loop that must not wait."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from homma.errors import LakeError, RequestRefused
from homma.metrics import Metrics
from homma.serve.live import CandleRange
from homma.topics.latest import Candle

log = logging.getLogger("homma.serve")

_THREADS: Final = 4
#: More questions than this at a time are refused.
_MOST: Final = 64
_ANSWER_WITHIN_S: Final = 20.0
#: So long nothing is asked of a lake that did not answer.
_PAUSE_S: Final = 5.0


class HistoryReader(Protocol):
    """What reads the lake, in threads of its own; LakeError where there is no way."""

    def read(self, interval: int, span: CandleRange) -> Sequence[Candle]:
        """The candles of a span that the lake has."""

    def close(self) -> None:
        """Let go of the connections."""


class LakeClient:
    """Asks the lake; where it is away, one goes on without it for a moment.

    What reads it is opened behind the first answers, as its libraries take their time to load.
    """

    def __init__(self, opened: Callable[[], HistoryReader], metrics: Metrics) -> None:
        self._opened = opened
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(_THREADS, "lake")
        self._opening = threading.Lock()
        self._reader: HistoryReader | None = None
        self._asked = 0
        self._not_before_s = 0.0

    def begin(self) -> None:
        """Have it open before somebody asks."""
        self._threads.submit(self._open)

    def _open(self) -> HistoryReader:
        with self._opening:
            if self._reader is None:
                self._reader = self._opened()
            return self._reader

    async def find(self, interval: int, span: CandleRange) -> Sequence[Candle] | None:
        """What the lake has of a span; None where it does not answer."""
        if time.monotonic() < self._not_before_s:
            return None
        if self._asked >= _MOST:
            raise RequestRefused("too many questions are put to the lake", "ask again later", 429)
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

    def _read(self, interval: int, span: CandleRange) -> Sequence[Candle]:
        return self._open().read(interval, span)

    def close(self) -> None:
        """Let go of the connections; who still waits gets no answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._reader is not None:
            self._reader.close()
