"""The thread that reads the candle topics: newest records first, then backfill and live."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homma.errors import HommaError
from homma.serve.market import Market
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.follower import Follower, candle_record
from homma.topics.kafka.identity import TopicState, topic_state
from homma.topics.kafka.reading import Message
from homma.topics.latest import CandleRecord

log = logging.getLogger("homma.serve")

_POLL_S: Final = 0.2
_RETRY_S: Final = 1.0
#: How often to check whether the topics are still the same.
_CHECK_TOPICS_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 5.0
#: No limit: memory has to see every candle that Kafka has.
_NO_LIMIT: Final = 1 << 62

#: Existing topics: name to topic id and number of partitions.
TopicIdentities = dict[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class CandleTopics:
    """The topics that candles are read from; `names` has them by the interval's code."""

    connection: Connection
    admin: Admin
    names: Mapping[str, str]

    def existing(self) -> TopicIdentities:
        """The topics that exist now."""
        partitions = self.admin.partitions()
        existing = [name for name in self.names.values() if name in partitions]
        ids = {name: self.admin.topic_id(name) for name in existing}
        return {name: (id_, partitions[name]) for name, id_ in ids.items() if id_ is not None}


def are_same(known: TopicIdentities, now: TopicIdentities) -> bool:
    """Whether all known topics are still there, none was created again, and none has grown."""
    return all(
        topic_state(topic_id, now.get(name, (None, 0))[0]) is TopicState.SAME
        and now[name][1] == partitions
        for name, (topic_id, partitions) in known.items()
    )


class CandleFeed:
    """Reads the topics in its own thread, and waits until the event loop has applied each batch."""

    def __init__(self, topics: CandleTopics, market: Market) -> None:
        self._topics = topics
        self._market = market
        self._interval = {name: code for code, name in topics.names.items()}
        self._known: TopicIdentities = {}
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="candle-feed", daemon=True)

    def start(self) -> None:
        """Start the thread; the running event loop applies the records."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Stop the thread, while the event loop still applies the last batch."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, _STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._follow_or_wait()
        except _Stopped:
            return

    def _follow_or_wait(self) -> None:
        try:
            self._follow()
        except HommaError as error:
            # Whatever failed may recover; the server continues to answer from memory.
            self._run_in_loop(self._market.on_error(str(error)))
            self._stop.wait(_RETRY_S)

    def _run_in_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the event loop, and wait until it is done."""
        assert self._loop is not None
        if self._stop.is_set():
            coroutine.close()
            raise _Stopped
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _follow(self) -> None:
        """Read the existing topics until they change."""
        topics = self._topics.existing()
        if not are_same(self._known, topics):
            self._run_in_loop(self._market.clear())
        self._known = topics
        if not topics:
            self._run_in_loop(self._market.on_ready())
            self._stop.wait(_RETRY_S)
            return
        follower = Follower(self._topics.connection, *topics)
        try:
            self._backfill(follower)
            next_check_s = time.monotonic() + _CHECK_TOPICS_S
            while not self._stop.is_set():
                self._apply(follower.poll(_POLL_S), self._market.add_live)
                if time.monotonic() >= next_check_s:
                    if self._topics.existing() != topics:
                        return
                    self._run_in_loop(self._market.on_heartbeat())
                    next_check_s = time.monotonic() + _CHECK_TOPICS_S
        finally:
            follower.close()

    def _backfill(self, follower: Follower) -> None:
        """Read the existing records, newest first, and new records in between."""
        steps = 0
        for step in follower.steps(_NO_LIMIT):
            for batch in follower.read(step):
                self._apply(batch, self._market.add_history)
                if steps:
                    self._apply(follower.poll(0), self._market.add_live)
            if not steps:
                self._run_in_loop(self._market.on_ready())
                follower.follow()
            steps += 1
        if not steps:
            self._run_in_loop(self._market.on_ready())
            follower.follow()
        self._run_in_loop(self._market.on_backfilled(reset=steps > 1))

    def _apply(
        self,
        messages: Sequence[Message],
        add: Callable[[Sequence[tuple[str, CandleRecord]]], Coroutine[Any, Any, None]],
    ) -> None:
        if messages:
            self._run_in_loop(
                add([(self._interval[str(m.topic())], candle_record(m)) for m in messages])
            )


class _Stopped(Exception):
    """The server is stopping."""
