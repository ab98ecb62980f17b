"""Invalid records for tests of a pipeline: one for each way to break the contract."""

import json
from collections.abc import Callable
from typing import Any, Final

Fields = dict[str, Any]
#: Turns a valid tick record into a record that every engine must reject.
Corruption = Callable[[bytes], bytes]


def _with(**changes: object) -> Corruption:
    """Changes some fields of the tick."""

    def corrupt(value: bytes) -> bytes:
        # NaN and Infinity are written as bare words, as by careless producers.
        return json.dumps(json.loads(value) | changes).encode()

    return corrupt


def _without(*names: str) -> Corruption:
    def corrupt(value: bytes) -> bytes:
        fields: Fields = json.loads(value)
        return json.dumps({k: v for k, v in fields.items() if k not in names}).encode()

    return corrupt


def _misdated(year: str) -> Corruption:
    """Changes the year of the tick."""

    def corrupt(value: bytes) -> bytes:
        return _with(dateTime=year + str(json.loads(value)["dateTime"])[4:])(value)

    return corrupt


#: By name.
CORRUPTIONS: Final[dict[str, Corruption]] = {
    "empty record": lambda _: b"",
    "not JSON": lambda _: b"ERROR: no quote",
    "cut off": lambda value: value[: len(value) // 2],
    "binary": lambda value: b"\x00\x01\xff\xfe" + value[:16],
    "not UTF-8": lambda value: value.replace(b'"source":"', b'"source":"\xff', 1),
    "list": lambda value: b"[" + value + b"]",
    "bare null": lambda _: b"null",
    "two objects": lambda value: value + value,
    "single quotes": lambda value: value.replace(b'"', b"'"),
    "price as text": _with(ask="high"),
    "price null": _with(mid=None, price=None),
    "price NaN": _with(mid=float("nan")),
    "price infinite": _with(bid=float("inf")),
    "price zero": _with(bid=0),
    "price negative": _with(mid=-1.5),
    "price as list": _with(ask=[1.0]),
    "size negative": _with(size=-1),
    "size with 13 digits": _with(size=0.1234567890123),
    "side unknown": _with(side="BUY"),
    "number negative": _with(number=-1),
    "number too large": _with(number=1 << 63),
    "number as text": _with(number="twelve"),
    "tradable as text": _with(isTradable="maybe"),
    "markup as text": _with(askMarkup="none"),
    "source empty": _with(source=""),
    "symbol empty": _with(symbol=""),
    "symbol too long": _with(symbol="X" * 65),
    "symbol with quote": _with(symbol='EUR"USD'),
    "symbol with newline": _with(symbol="EUR\nUSD"),
    "source missing": _without("source"),
    "symbol missing": _without("symbol"),
    "price missing": _without("mid", "price"),
    "number missing": _without("number"),
    "dateTime missing": _without("dateTime"),
    "dateTime empty": _with(dateTime=""),
    "dateTime in words": _with(dateTime="yesterday"),
    "dateTime epoch": _with(dateTime=1742481088000),
    "dateTime no such day": _with(dateTime="2025-02-30T10:00:00.000"),
    "dateTime leap second": _with(dateTime="2016-12-31T23:59:60.000"),
    "dateTime with offset": _with(dateTime="2025-03-20T14:31:28.000+01:00"),
    "dateTime with space": _with(dateTime="2025-03-20 14:31:28.000"),
    "dateTime before 1970": _misdated("1969"),
    "dateTime far ahead": _misdated("2999"),
    "receiveDateTime in words": _with(receiveDateTime="soon"),
}
