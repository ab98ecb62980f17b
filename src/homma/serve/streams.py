"""Live streams: the same bytes for all that want the same, and nobody waits for another."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from homma.errors import RequestRefused
from homma.metrics import Metrics
from homma.serve.events import Events, Subscription

#: Events are gathered so long, as many small writes cost more than one.
_GATHER_S: Final = 0.03
_HEARTBEAT_S: Final = 10.0
_RETRY_MS: Final = 1000
#: Given by the server to whom it serves: ends a connection without waiting for anybody.
CUT: Final = "homma.cut"


class Streams:
    """Wakes the streams when there is something for them."""

    def __init__(
        self, events: Events, most: int, stream_timeout_s: float, metrics: Metrics
    ) -> None:
        self.events = events
        self._most = most
        self._slow_after_s = stream_timeout_s
        self._metrics = metrics
        self._open = 0
        self._shown = 0
        self._made: dict[tuple[Subscription, int], bytes] = {}
        self._news = asyncio.Event()
        self._turn = asyncio.Event()
        self._closing = False

    def notify(self) -> None:
        """There are new events."""
        self._news.set()

    async def run(self) -> None:
        """Gather events and wake the streams, until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._news.wait(), _HEARTBEAT_S)
                await asyncio.sleep(_GATHER_S)
            except TimeoutError:
                pass
            self._news.clear()
            self._metrics.count("homma_updates", self.events.newest - self._shown)
            self._shown = self.events.newest
            self._made.clear()
            self._wake()

    def close(self) -> None:
        """End all streams."""
        self._closing = True
        self._wake()

    def _wake(self) -> None:
        self._turn.set()
        self._turn.clear()

    def admit(self) -> None:
        """Refuse one more where there are too many."""
        if self._open >= self._most:
            raise RequestRefused(
                f"there are {self._most} live streams already",
                "come back later, or ask for several series in one",
                429,
            )

    def _since(self, number: int, wanted: Subscription) -> bytes:
        """What a stream has not had; made once for all that want the same."""
        at = (wanted, number)
        if at not in self._made:
            self._made[at] = self.events.between(number, self._shown, wanted)
        return self._made[at]

    async def pump(self, wanted: Subscription, last_event_id: str, send: Send) -> None:
        """Send what is new, until this is cancelled or the server ends."""
        self._open += 1
        self._metrics.show("homma_streams", self._open)
        try:
            await self._pump(wanted, last_event_id, send)
        finally:
            self._open -= 1
            self._metrics.show("homma_streams", self._open)

    async def _pump(self, wanted: Subscription, last_event_id: str, send: Send) -> None:
        number = self.events.number(last_event_id) if last_event_id else self._shown
        head = b"retry: %d\n" % _RETRY_MS
        if number is None:
            number = self._shown
            await self._send(send, head + self.events.reset())
        else:
            await self._send(send, head + b"id: %b\n\n" % self.events.id(number))
        clock_s = asyncio.get_running_loop().time
        said_s = clock_s()
        while not self._closing:
            if number >= self._shown:
                await self._turn.wait()
            chunk, number = self._since(number, wanted), max(number, self._shown)
            if not chunk and clock_s() - said_s > _HEARTBEAT_S:
                # Says how far the stream has come, though nothing concerned it.
                chunk = b"id: %b\n\n" % self.events.id(number)
            if chunk:
                await self._send(send, chunk)
                said_s = clock_s()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, chunk: bytes) -> None:
        async with asyncio.timeout(self._slow_after_s):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    def cut_off(self) -> None:
        """Count one that was cut off."""
        self._metrics.count("homma_streams_disconnected")


class Stream:
    """The answer to one who wants to be told."""

    def __init__(self, streams: Streams, wanted: Subscription, last_event_id: str) -> None:
        self._streams = streams
        self._wanted = wanted
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: until the client goes, is cut off, or the server ends."""
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pump = asyncio.create_task(self._streams.pump(self._wanted, self._last_event_id, send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        except TimeoutError:
            self._streams.cut_off()
            cut: Callable[[], Any] = scope.get(CUT, _nothing)
            cut()
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _nothing() -> None:
    pass
