"""Reads older candles from the lake in threads, so that the event loop never blocks."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from homma.core.interval import Interval
from homma.errors import LakeError, RequestRefused
from homma.metrics import Metrics
from homma.serve.live import CandleRange
from homma.topics.candle import Candle

log = logging.getLogger("homma.serve")

_THREADS: Final = 4
#: More pending reads than this are refused.
_MAX_PENDING: Final = 64
_TIMEOUT_S: Final = 20.0
#: After a failed read, the lake is not read for this long.
_PAUSE_S: Final = 5.0


class HistoryReader(Protocol):
    """Reads the lake, in a thread of the client. Raises LakeError if it cannot."""

    def read(self, interval: Interval, span: CandleRange) -> Sequence[Candle]:
        """The lake's candles of a range, oldest first."""

    def close(self) -> None:
        """Close the connections."""


class LakeClient:
    """Reads the lake; while it does not answer, the server continues without it for a moment.

    `open_reader` runs in a thread, as the lake's libraries take a while to load.
    """

    def __init__(self, open_reader: Callable[[], HistoryReader], metrics: Metrics) -> None:
        self._open_reader = open_reader
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(_THREADS, "lake")
        self._open_lock = threading.Lock()
        self._reader: HistoryReader | None = None
        self._pending = 0
        self._retry_at_s = 0.0

    def start(self) -> None:
        """Open the reader before the first request."""
        self._threads.submit(self._open)

    def _open(self) -> HistoryReader:
        with self._open_lock:
            if self._reader is None:
                self._reader = self._open_reader()
            return self._reader

    async def find(self, interval: Interval, span: CandleRange) -> Sequence[Candle] | None:
        """The lake's candles of a range, oldest first; None if the lake does not answer."""
        if time.monotonic() < self._retry_at_s:
            return None
        if self._pending >= _MAX_PENDING:
            raise RequestRefused("too many requests are waiting for the lake", "retry later", 429)
        self._pending += 1
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._threads, self._read, interval, span)
        reading.add_done_callback(self._on_done)
        try:
            candles = await asyncio.wait_for(asyncio.shield(reading), _TIMEOUT_S)
        except (LakeError, TimeoutError) as error:
            self._metrics.count("homma_lake_reads", 1, "failed")
            self._retry_at_s = time.monotonic() + _PAUSE_S
            log.warning(
                "continuing without the lake: %s", str(error) or "it did not answer in time"
            )
            return None
        self._metrics.count("homma_lake_reads", 1, "answered")
        return candles

    def _on_done(self, reading: "asyncio.Future[Sequence[Candle]]") -> None:
        self._pending -= 1
        if not reading.cancelled():
            # Retrieved here, as the request may have timed out.
            reading.exception()

    def _read(self, interval: Interval, span: CandleRange) -> Sequence[Candle]:
        return self._open().read(interval, span)

    def close(self) -> None:
        """Close the connections; pending reads are canceled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._reader is not None:
            self._reader.close()
