"""The candles in the candle topics: the newest record of each key."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import polars as pl
from polars.exceptions import ComputeError

from homma.core.interval import BY_CODE, CLOCK
from homma.core.recompute import RECORDED
from homma.formats import format_of_headers
from homma.topics import codec, precedence
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Message, Range, Reader
from homma.topics.offset_metadata import TICKS_BEFORE

_KEY: Final = ("source", "symbol", "interval", "start_us")
#: The record of a candle. `ticks_before` is null if another engine wrote the record.
RECORD: Final = pl.Schema(
    {
        "partition": pl.Int64,
        "offset": pl.Int64,
        "timestamp_ms": pl.Int64,
        "ticks_before": pl.Int64,
    }
)

TOPIC_CANDLE: Final = pl.Schema({**RECORDED, **RECORD})
#: The newest record of each key in the candle topics; a tombstone has a null volume and prices.
TopicCandles: TypeAlias = pl.DataFrame


class PublishedCandles:
    """The candle topics as of the last refresh. `select` filters the candles to keep.

    Records with a timestamp before `since_ms` are not read.
    """

    def __init__(
        self,
        reader: Reader,
        topics: Topics,
        partitions: int,
        select: Callable[[TopicCandles], TopicCandles],
        since_ms: int = 0,
    ) -> None:
        self._reader = reader
        self._topics = topics
        self._partitions = partitions
        self._select = select
        self._since_ms = since_ms
        self._codes = {topic: code for code, topic in topics.candles.items()}
        self._next: dict[tuple[str, int], int] = {}
        self._candles = _frame([], CLOCK.code)
        #: By interval: retention deleted the records before this timestamp, in milliseconds.
        self.retained_from_ms: dict[str, int] = {}
        self.bad = 0

    def refresh(self, partitions: Sequence[int] | None = None) -> None:
        """Read the records written since the last refresh."""
        for partition in range(self._partitions) if partitions is None else partitions:
            self._refresh(partition)

    def _refresh(self, partition: int) -> None:
        spans: dict[str, Range] = {}
        for topic, code in self._codes.items():
            available = self._reader.offset_range(topic, partition)
            key = topic, partition
            if key not in self._next and available.start:
                self._note_retention(code, topic, partition, available)
            start = self._next[key] if key in self._next else self._first(topic, partition)
            spans[topic] = Range(min(max(available.start, start), available.end), available.end)
            self._next[key] = available.end
        frames = [self._candles]
        for batch in self._reader.read(partition, spans):
            by_topic: dict[str, list[Message]] = {}
            for message in batch:
                by_topic.setdefault(str(message.topic()), []).append(message)
            for topic, messages in by_topic.items():
                frames.append(self._select(self._read(messages, self._codes[topic])))
            if len(frames) > 100:
                frames = [precedence.newest(pl.concat(frames), _KEY)]
        self._candles = precedence.newest(pl.concat(frames), _KEY)

    def _first(self, topic: str, partition: int) -> int:
        """The offset from which a topic is read."""
        if not self._since_ms:
            return 0
        offset = self._reader.offset_for_time(topic, partition, self._since_ms)
        return self._reader.offset_range(topic, partition).end if offset is None else offset

    def _note_retention(self, code: str, topic: str, partition: int, available: Range) -> None:
        for batch in self._reader.read(partition, {topic: available}):
            oldest_ms = min(message.timestamp()[1] for message in batch)
            self.retained_from_ms[code] = max(oldest_ms, self.retained_from_ms.get(code, 0))
            return

    def _read(self, messages: list[Message], code: str) -> TopicCandles:
        try:
            return _frame(messages, code)
        except ComputeError:
            good = [message for message in messages if _is_candle(message, code)]
            self.bad += len(messages) - len(good)
            return _frame(good, code)

    def skip_own_records(self, partition: int) -> None:
        """Skip the records written since the last refresh, which the caller wrote."""
        for topic in self._codes:
            self._next[topic, partition] = self._reader.offset_range(topic, partition).end

    def candles(self) -> TopicCandles:
        """The newest record of each key, tombstones included."""
        return self._candles


def _frame(messages: list[Message], code: str) -> TopicCandles:
    # The key of a tombstone has some fields of a candle's value; the others become null.
    values = [message.value() or message.key() or b"{}" for message in messages]
    headers = [dict(message.headers() or ()) for message in messages]
    for record_headers in headers:
        format_of_headers(record_headers, f"a candle of {code}")
    ticks_before = [record_headers.get(TICKS_BEFORE) for record_headers in headers]
    record = {
        "partition": [message.partition() for message in messages],
        "offset": [message.offset() for message in messages],
        "timestamp_ms": [message.timestamp()[1] for message in messages],
        "ticks_before": [None if text is None else int(text) for text in ticks_before],
    }
    return codec.decode_candles(values, BY_CODE[code]).hstack(pl.DataFrame(record, schema=RECORD))


def _is_candle(message: Message, code: str) -> bool:
    try:
        return not _frame([message], code)["start_us"].has_nulls()
    except ComputeError:
        return False
