"""The golden cases (tests/golden/README.md): their records, clocks and settings."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from homma.core.calendar import DEFAULT_CODES
from tests.support import oracle

FOLDER = Path(__file__).parent.parent / "golden"
Case = dict[str, Any]
CASES: list[Case] = [
    case | {"file": path.name}
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]
]
for candle in (
    row for case in CASES for rows in case["expect"]["candles"].values() for row in rows
):
    candle.setdefault("tickCount", candle["volume"])


DEFAULTS = {
    "price": "mid",
    "prices": "positive",
    "allowedLateness": 600,
    "watermarkDelay": 2,
    "idleTimeout": 5,
    "maxFuture": 300,
    "intervals": list(DEFAULT_CODES),
}


@dataclass(frozen=True)
class Record:
    """An input record: its index in `ticks`, its value and its Kafka timestamp."""

    index: int
    value: bytes
    timestamp: datetime


def value_of(step: Case) -> bytes:
    if "base64" in step:
        return base64.b64decode(step["base64"])
    text = step["text"] if "text" in step else json.dumps(step["record"], ensure_ascii=False)
    return str(text).encode()


def instant(text: str) -> datetime:
    at = oracle.instant(text)
    assert at is not None, text
    return at


def batches(case: Case) -> list[tuple[list[Record], datetime]]:
    """The records up to each clock step and up to the end, each with the clock at that moment."""
    result: list[tuple[list[Record], datetime]] = []
    records: list[Record] = []
    clock = oracle.EPOCH
    for index, step in enumerate(case["ticks"]):
        if "advance" in step:
            clock = max(clock, instant(step["advance"]))
            result.append((records, clock))
            records = []
            continue
        value = value_of(step)
        tick = oracle.read(value, settings_of(case)["prices"])
        if "timestamp" in step:
            at = instant(step["timestamp"])
        elif isinstance(tick, dict):
            at = max(clock, oracle.at_of(tick) + timedelta(milliseconds=100))
        else:
            at = clock
        clock = max(clock, at)
        records.append(Record(index, value, at))
    return [*result, (records, clock)]


def settings_of(case: Case) -> dict[str, Any]:
    return {**DEFAULTS, **case.get("settings", {})}
