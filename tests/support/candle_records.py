"""Records of candle topics."""

import json
from decimal import Decimal
from typing import Any

from homma.topics.latest import CandleRecord

MINUTE = "2025-03-20T14:31:00.000"


def candle_value(start: str = MINUTE, source: str = "S", symbol: str = "A", **fields: Any) -> bytes:
    """The value of a candle record; a field of ... is left out, and decimals are exact."""
    values = {
        "source": source,
        "symbol": symbol,
        "dateTime": start,
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 3,
        # A size is no number of ticks.
        "tickCount": volume if isinstance(volume := fields.get("volume"), int) else 3,
        "isFinal": True,
        "revision": 1,
        **fields,
    }
    written = {k: v for k, v in values.items() if v is not ...}
    text = json.dumps(written, default=lambda value: f"<{value}>")
    return text.replace('"<', "").replace('>"', "").encode()


def trades(volume: str, turnover: str) -> dict[str, Any]:
    """The fields of a candle of trades whose record has these numbers."""
    return {"volume": Decimal(volume), "turnover": Decimal(turnover)}


def candle_key(start: str = MINUTE, source: str = "S", symbol: str = "A") -> bytes:
    """The key of a candle record."""
    return f'{{"source":"{source}","symbol":"{symbol}","dateTime":"{start}"}}'.encode()


class RecordSequence:
    """Records of one partition, with consecutive offsets."""

    def __init__(self) -> None:
        self._offset = 0

    def record(
        self, start: str = MINUTE, *, is_deleted: bool = False, **fields: Any
    ) -> CandleRecord:
        """The next record; a tombstone if `is_deleted`."""
        self._offset += 1
        names = {n: fields[n] for n in ("source", "symbol") if n in fields}
        value = None if is_deleted else candle_value(start, **fields)
        return CandleRecord(0, self._offset, self._offset, candle_key(start, **names), value)
