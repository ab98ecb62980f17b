"""Live streams: equal subscriptions share the same bytes, and no stream waits for another."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from homma.errors import RequestRefused
from homma.metrics import Metrics
from homma.serve.events import Events, Subscription

#: Events are batched for this long, as many small writes cost more than one.
_BATCH_S: Final = 0.03
_HEARTBEAT_S: Final = 10.0
_RETRY_MS: Final = 1000
#: Key of the ASGI scope: a function that closes the connection at once.
ABORT: Final = "homma.abort"


class Streams:
    """Wakes the live streams when there are new events."""

    def __init__(
        self, events: Events, max_streams: int, stream_timeout_s: float, metrics: Metrics
    ) -> None:
        self.events = events
        self._max_streams = max_streams
        self._timeout_s = stream_timeout_s
        self._metrics = metrics
        self._open_count = 0
        #: The newest event that has been published to the streams.
        self._published = 0
        self._chunks: dict[tuple[Subscription, int], bytes] = {}
        self._has_events = asyncio.Event()
        self._wakeup = asyncio.Event()
        self._is_closing = False

    def notify(self) -> None:
        """Announce new events."""
        self._has_events.set()

    async def run(self) -> None:
        """Batch events and wake the streams, until canceled."""
        while True:
            try:
                await asyncio.wait_for(self._has_events.wait(), _HEARTBEAT_S)
                await asyncio.sleep(_BATCH_S)
            except TimeoutError:
                pass
            self._has_events.clear()
            self._metrics.count("homma_updates", self.events.newest - self._published)
            self._published = self.events.newest
            self._chunks.clear()
            self._wake()

    def close(self) -> None:
        """End all streams."""
        self._is_closing = True
        self._wake()

    def _wake(self) -> None:
        self._wakeup.set()
        self._wakeup.clear()

    def admit(self) -> None:
        """Raise RequestRefused (429) if the maximum number of streams is open."""
        if self._open_count >= self._max_streams:
            raise RequestRefused(
                f"{self._max_streams} live streams are open, which is the maximum",
                "retry later, or subscribe to several series in one stream",
                429,
            )

    def _chunk(self, number: int, subscription: Subscription) -> bytes:
        """The published events after a number, encoded once per subscription."""
        key = (subscription, number)
        if key not in self._chunks:
            self._chunks[key] = self.events.between(number, self._published, subscription)
        return self._chunks[key]

    async def pump(self, subscription: Subscription, last_event_id: str, send: Send) -> None:
        """Send new events, until canceled or the server stops; TimeoutError if a client stalls."""
        self._open_count += 1
        self._metrics.set("homma_streams", self._open_count)
        try:
            await self._pump(subscription, last_event_id, send)
        finally:
            self._open_count -= 1
            self._metrics.set("homma_streams", self._open_count)

    async def _pump(self, subscription: Subscription, last_event_id: str, send: Send) -> None:
        number = self.events.event_number(last_event_id) if last_event_id else self._published
        head = b"retry: %d\n" % _RETRY_MS
        if number is None:
            number = self._published
            await self._send(send, head + self.events.reset())
        else:
            await self._send(send, head + b"id: %b\n\n" % self.events.event_id(number))
        clock_s = asyncio.get_running_loop().time
        sent_s = clock_s()
        while not self._is_closing:
            if number >= self._published:
                await self._wakeup.wait()
            chunk, number = self._chunk(number, subscription), max(number, self._published)
            if not chunk and clock_s() - sent_s > _HEARTBEAT_S:
                # No event matched the subscription: still send the stream's position.
                chunk = b"id: %b\n\n" % self.events.event_id(number)
            if chunk:
                await self._send(send, chunk)
                sent_s = clock_s()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, chunk: bytes) -> None:
        async with asyncio.timeout(self._timeout_s):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    def count_disconnected(self) -> None:
        """Count a stream whose client read nothing for too long."""
        self._metrics.count("homma_streams_disconnected")


class Stream:
    """The answer of /api/live: an ASGI response that streams events."""

    def __init__(self, streams: Streams, subscription: Subscription, last_event_id: str) -> None:
        self._streams = streams
        self._subscription = subscription
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client disconnects or stalls, or the server stops."""
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pump = asyncio.create_task(
            self._streams.pump(self._subscription, self._last_event_id, send)
        )
        disconnect = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        except TimeoutError:
            self._streams.count_disconnected()
            abort: Callable[[], Any] = scope.get(ABORT, _do_nothing)
            abort()
        finally:
            for task in (pump, disconnect):
                task.cancel()
            await asyncio.gather(pump, disconnect, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _do_nothing() -> None:
    pass
