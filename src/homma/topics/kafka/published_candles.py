"""The candles that the topics hold: the newest record of each key."""

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl
from polars.exceptions import ComputeError

from homma.topics import codec
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Message, Range, Reader
from homma.topics.offset_metadata import TICKS_BEFORE

# Nothing readable for so long: an open transaction ends within its timeout of 10 s.
_PATIENCE_S: Final = 30.0
_KEY: Final = ("source", "symbol", "interval", "start_us")
#: Where a candle's record stands, and which ticks are in it; null where another engine wrote it.
RECORD: Final = {
    "partition": pl.Int64,
    "offset": pl.Int64,
    "timestamp_ms": pl.Int64,
    "ticks_before": pl.Int64,
}


class Published:
    """The candle topics as of the last look; `wanted` picks the candles that are kept."""

    def __init__(
        self,
        reader: Reader,
        topics: Topics,
        partitions: int,
        wanted: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> None:
        self._reader = reader
        self._topics = topics
        self._partitions = partitions
        self._wanted = wanted
        self._codes = {topic: code for code, topic in enumerate(topics.candles)}
        self._next: dict[tuple[str, int], int] = {}
        self._held = _frame([], 0)
        #: By interval: what was written before has been deleted by retention, milliseconds.
        self.kept_from_ms: dict[int, int] = {}
        self.bad = 0

    def look(self, partitions: Sequence[int] | None = None) -> None:
        """Read what has come since the last look."""
        for partition in range(self._partitions) if partitions is None else partitions:
            self._look(partition)

    def _look(self, partition: int) -> None:
        spans: dict[str, Range] = {}
        for topic, code in self._codes.items():
            kept = self._reader.kept(topic, partition)
            first = topic, partition
            if first not in self._next and kept.start:
                self._expired(code, topic, partition, kept)
            spans[topic] = Range(max(kept.start, self._next.get(first, 0)), kept.end)
            self._next[first] = kept.end
        frames = [self._held]
        for batch in self._reader.read(partition, spans, _PATIENCE_S):
            by_topic: dict[str, list[Message]] = {}
            for message in batch:
                by_topic.setdefault(str(message.topic()), []).append(message)
            for topic, messages in by_topic.items():
                frames.append(self._wanted(self._read(messages, self._codes[topic])))
            if len(frames) > 100:
                frames = [_newest(frames)]
        self._held = _newest(frames)

    def _expired(self, code: int, topic: str, partition: int, kept: Range) -> None:
        for batch in self._reader.read(partition, {topic: kept}, _PATIENCE_S):
            oldest_ms = min(message.timestamp()[1] for message in batch)
            self.kept_from_ms[code] = max(oldest_ms, self.kept_from_ms.get(code, 0))
            return

    def _read(self, messages: list[Message], code: int) -> pl.DataFrame:
        try:
            return _frame(messages, code)
        except ComputeError:
            good = [message for message in messages if _is_candle(message, code)]
            self.bad += len(messages) - len(good)
            return _frame(good, code)

    def pass_over(self, partition: int) -> None:
        """Take what has come since the last look for known: it is our own."""
        for topic in self._codes:
            self._next[topic, partition] = self._reader.kept(topic, partition).end

    def candles(self) -> pl.DataFrame:
        """The newest record of each key; where that is a tombstone, volume and prices are null."""
        return self._held


def _frame(messages: list[Message], code: int) -> pl.DataFrame:
    # A tombstone's key is a candle's value without its other fields, which come out null.
    values = [message.value() or message.key() or b"{}" for message in messages]
    told = [dict(message.headers() or ()).get(TICKS_BEFORE) for message in messages]
    record = {
        "partition": [message.partition() for message in messages],
        "offset": [message.offset() for message in messages],
        "timestamp_ms": [message.timestamp()[1] for message in messages],
        "ticks_before": [None if text is None else int(text) for text in told],
    }
    return codec.candles_from(values, code).hstack(pl.DataFrame(record, schema=RECORD))


def _is_candle(message: Message, code: int) -> bool:
    try:
        return not _frame([message], code)["start_us"].has_nulls()
    except ComputeError:
        return False


def _newest(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames).unique(_KEY, keep="last", maintain_order=True)
