"""The thread that follows the candle topics: the newest first, then live and back at once."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homma.errors import HommaError
from homma.serve.market import Market
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.follower import Follower, record
from homma.topics.kafka.reading import Message
from homma.topics.latest import CandleRecord

log = logging.getLogger("homma.serve")

_WAIT_S: Final = 0.2
_LOOK_AGAIN_S: Final = 1.0
#: How often it is looked whether the topics are still the same.
_COMPARE_S: Final = 10.0
_STOP_WITHIN_S: Final = 5.0
#: No limit: memory must have all that Kafka has, but for what is older than it keeps.
_ALL: Final = 1 << 62

#: Which topics there are: of each its name, its id and its number of partitions.
Topics = dict[str, tuple[str | None, int]]


@dataclass(frozen=True, slots=True)
class CandleTopics:
    """Where candles come from; `names` are the topics in the order of INTERVALS."""

    config: Connection
    admin: Admin
    names: Sequence[str]

    def topics(self) -> Topics:
        """Those that are there now."""
        there = self.admin.partitions()
        return {n: (self.admin.topic_id(n), there[n]) for n in self.names if n in there}


class Following:
    """Reads in a thread of its own; what it reads it hands over to the loop, and waits for it."""

    def __init__(self, source: CandleTopics, market: Market) -> None:
        self._source = source
        self._market = market
        self._interval = {name: place for place, name in enumerate(source.names)}
        self._known: Topics = {}
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        """Begin; the loop that runs now is the one that is told."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End, while the loop still takes what is being handed over."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, _STOP_WITHIN_S)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._try()
        except _Stopped:
            return

    def _try(self) -> None:
        try:
            self._follow()
        except HommaError as error:
            # Whatever it was, Kafka comes back or is mended, and answers go on meanwhile.
            self._tell(self._market.on_error(str(error)))
            self._stop.wait(_LOOK_AGAIN_S)

    def _tell(self, what: Coroutine[Any, Any, None]) -> None:
        """Have the loop do something, and wait until it is done."""
        assert self._loop is not None
        if self._stop.is_set():
            what.close()
            raise _Stopped
        asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def _follow(self) -> None:
        """Follow the topics that are there until they are others."""
        topics = self._source.topics()
        if any(topics.get(name) != known for name, known in self._known.items()):
            self._tell(self._market.clear())
        self._known = topics
        if not topics:
            self._tell(self._market.on_ready())
            self._stop.wait(_LOOK_AGAIN_S)
            return
        follower = Follower(self._source.config, *topics)
        try:
            self._go_back(follower)
            due_s = time.monotonic() + _COMPARE_S
            while not self._stop.is_set():
                self._hand_over(follower.arrived(_WAIT_S), self._market.arrived)
                if time.monotonic() >= due_s:
                    if self._source.topics() != topics:
                        return
                    self._tell(self._market.on_heartbeat())
                    due_s = time.monotonic() + _COMPARE_S
        finally:
            follower.close()

    def _go_back(self, follower: Follower) -> None:
        """Read what is there, the newest of it first; what is new meanwhile is taken too."""
        steps = 0
        for step in follower.steps(_ALL):
            for batch in follower.read(step):
                self._hand_over(batch, self._market.recent)
                if steps:
                    self._hand_over(follower.arrived(0), self._market.arrived)
            if not steps:
                self._tell(self._market.on_ready())
                follower.go_on()
            steps += 1
        if not steps:
            self._tell(self._market.on_ready())
            follower.go_on()
        self._tell(self._market.on_backfilled(long=steps > 1))

    def _hand_over(
        self,
        messages: Sequence[Message],
        take: Callable[[Sequence[tuple[int, CandleRecord]]], Coroutine[Any, Any, None]],
    ) -> None:
        if messages:
            self._tell(take([(self._interval[str(m.topic())], record(m)) for m in messages]))


class _Stopped(Exception):
    """The server ends."""
