"""The newest record of a key is the candle: which candles a topic's records say there are.

Pure. Records of a partition may be added in any order, so that a reader can begin with the newest
ones and then go back as far as it needs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from homma.topics.codec import unframed

_ONE_SPELLING: Final = re.compile(r"[A-Za-z0-9 ._:-]+")
#: (source, symbol)
Series = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Candle:
    """A candle as its record has it; `start` is UTC, `value` the whole of the record's JSON.

    `is_final` and `revision` are None where another engine wrote the record.
    """

    source: str
    symbol: str
    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    is_final: bool | None
    revision: int | None
    value: Mapping[str, Any]

    @property
    def series(self) -> Series:
        """What the candle is one of."""
        return self.source, self.symbol


@dataclass(frozen=True, slots=True)
class Gone:
    """A candle that a tombstone has taken away."""

    candle: Candle


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a candle topic; `timestamp_ms` is Kafka's. A tombstone has no value."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class _Held:
    candle: Candle
    record: Record


def read_candle(value: bytes) -> Candle | None:
    """The candle of a record's value; None where it is none."""
    try:
        found = json.loads(unframed(value))
        start = datetime.fromisoformat(found["dateTime"])
        return Candle(
            source=str(found["source"]),
            symbol=str(found["symbol"]),
            start=start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC),
            open=float(found["open"]),
            high=float(found["high"]),
            low=float(found["low"]),
            close=float(found["close"]),
            volume=int(found["volume"]),
            is_final=found.get("isFinal"),
            revision=found.get("revision"),
            value=found,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Latest:
    """The `keep` newest candles of each series; with `symbol`, of the series of that one only.

    `bad` counts records that are no candles.
    """

    def __init__(self, keep: int, symbol: str | None = None) -> None:
        self.keep = keep
        self.bad = 0
        self._symbol = symbol
        # Most records of a big topic are of other symbols, and not worth parsing. A symbol that
        # JSON can write in several ways cannot be looked for in the bytes.
        plain = symbol is not None and _ONE_SPELLING.fullmatch(symbol)
        self._needle = symbol.encode() if symbol and plain else b""
        self._held: dict[Series, dict[datetime, _Held]] = {}
        self._of_key: dict[bytes, tuple[Series, datetime]] = {}
        self._tombstones: dict[bytes, Record] = {}

    def add(self, record: Record) -> Candle | Gone | None:
        """Take a record; gives what it has changed: a candle, or one that is gone, or nothing."""
        if record.value is None:
            return self._bury(record)
        if self._needle not in record.value:
            return None
        candle = read_candle(record.value)
        if candle is None:
            self.bad += 1
            return None
        if self._symbol not in (None, candle.symbol) or self._buried(record):
            return None
        return self._hold(_Held(candle, record))

    def _buried(self, record: Record) -> bool:
        tombstone = self._tombstones.get(record.key or b"")
        return tombstone is not None and _newer(tombstone, record)

    def _bury(self, record: Record) -> Gone | None:
        key = record.key or b""
        before = self._tombstones.get(key)
        if before is None or _newer(record, before):
            self._tombstones[key] = record
        if key not in self._of_key:
            return None
        series, start = self._of_key[key]
        held = self._held[series][start]
        if held.record.key != record.key or not _newer(record, held.record):
            return None
        self._drop(series, start)
        return Gone(held.candle)

    def _hold(self, new: _Held) -> Candle | None:
        candles = self._held.setdefault(new.candle.series, {})
        old = candles.get(new.candle.start)
        if old is not None and not _replaces(new, old):
            return None
        if old is not None:
            self._of_key.pop(old.record.key or b"", None)
        candles[new.candle.start] = new
        self._of_key[new.record.key or b""] = (new.candle.series, new.candle.start)
        # Seldom, since it sorts.
        if len(candles) > 2 * self.keep + 10:
            for start in sorted(candles)[: -self.keep]:
                self._drop(new.candle.series, start)
        return new.candle

    def _drop(self, series: Series, start: datetime) -> None:
        held = self._held[series].pop(start)
        self._of_key.pop(held.record.key or b"", None)

    def series(self) -> list[Series]:
        """Every series of which there is a candle, by symbol and source."""
        return sorted((s for s in self._held if self._held[s]), key=lambda s: (s[1], s[0]))

    def candles(self, series: Series) -> Sequence[Candle]:
        """The newest candles of a series, oldest first, `keep` at most."""
        held = self._held.get(series, {})
        return [held[start].candle for start in sorted(held)[-self.keep :]]

    def split(self, series: Series) -> bool:
        """Whether a series stands in several partitions: then its candles are halves.

        Not so another engine's, which gives no revisions: it places candles by their whole keys.
        """
        own = (h for h in self._held.get(series, {}).values() if h.candle.revision is not None)
        return len({held.record.partition for held in own}) > 1


def _newer(one: Record, other: Record) -> bool:
    """Whether a record was written after another."""
    if one.partition == other.partition:
        return one.offset > other.offset
    return one.timestamp_ms > other.timestamp_ms


def _replaces(new: _Held, old: _Held) -> bool:
    """Whether `new` is the candle of the two; neither need be the newer one."""
    if _newer(new.record, old.record):
        return not _outdone(new, by=old)
    return _outdone(old, by=new)


def _outdone(newer: _Held, by: _Held) -> bool:
    """Whether the newer one comes from an engine that has lost a part of the candle."""
    return newer.candle.revision is None and by.candle.volume > newer.candle.volume
