"""Every kind of odd tick through the whole pipeline: a dead letter with a reason, or accepted."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from homma.topics.contract import TICK_BYTES
from tests.support.engines import Engines, Feed, Progress, Record, Watch, check, record
from tests.support.pipeline import Pipeline, tick

AT = "2025-03-20T14:30:10"
#: Bytes that the client adds to a record; Kafka counts them in `max.message.bytes`.
OVERHEAD = 200


def text(**changes: Any) -> bytes:
    return json.dumps(tick(AT) | changes).encode()


def raw(field: str, literal: str) -> bytes:
    """A tick with a field's JSON text replaced."""
    return text(**{field: "@"}).replace(b'"@"', literal.encode("utf-8", "surrogatepass"))


def without(field: str) -> bytes:
    return json.dumps({k: v for k, v in tick(AT).items() if k != field}).encode()


def padded(size: int, **changes: Any) -> bytes:
    short = text(**changes, more="")
    return text(**changes, more="x" * (size - len(short)))


def soon(ahead: timedelta) -> str:
    return (datetime.now(UTC) + ahead).strftime("%Y-%m-%dT%H:%M:%S.%f")


REQUIRED = ("source", "symbol", "ask", "bid", "mid", "number", "dateTime")

DEAD: dict[str, bytes] = {
    "no value": b"",
    "blank": b"  ",
    "not JSON": b"ask,bid,mid",
    "an array": b"[" + text() + b"]",
    "a text": b'"tick"',
    "a number": b"1",
    "null": b"null",
    "two objects": text() + text(),
    "not UTF-8": text().replace(b"AAA", b"\xff\xfe"),
    "gzip magic bytes": b"\x1f\x8b" + text(),
    "a byte order mark": b"\xef\xbb\xbf" + text(),
    "nested too deeply": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "a single quote": text().replace(b'"', b"'"),
    "a trailing comma": text()[:-1] + b",}",
    **{f"cut off at {n}": text()[:n] for n in (1, 10, 50, len(text()) - 1)},
    **{f"without {field}": without(field) for field in REQUIRED},
    **{f"{field} null": raw(field, "null") for field in REQUIRED},
    **{
        f"mid {literal}": raw("mid", literal)
        for literal in (
            "NaN",
            "Infinity",
            "-Infinity",
            "nan",
            "1e400",
            "-1e400",
            "0",
            "-0.0",
            "-1",
            "1e-400",
            '"1.5"',
            "true",
            "[1]",
            '{"a":1}',
            "01",
            "+1",
            ".5",
            "1.",
            "0x10",
        )
    },
    **{
        f"number {literal}": raw("number", literal)
        for literal in ("-1", "1.5", "9223372036854775808", '"1"', "1e30", "true", "9" * 20)
    },
    **{
        f"source {literal}"[:60]: raw("source", literal)
        for literal in (
            '""',
            '"' + "x" * 65 + '"',
            r'"a\u0000b"',
            r'"a\nb"',
            r'"a\"b"',
            r'"a\\b"',
            '"a{b"',
            '"a]b"',
            '["S"]',
            '{"S":1}',
            r'"\ud800"',
            '"\x7f"',
            '"a\tb"',
        )
    },
    **{
        f"dateTime {at}": text(dateTime=at)
        for at in (
            "",
            "now",
            "2025-03-20",
            "2025-03-20 14:30:10",
            "2025-03-20T14:30",
            "2025-02-29T00:00:00",
            "2016-12-31T23:59:60",
            "2016-12-31T23:59:60.5Z",
            "2025-03-20T24:00:00",
            "2025-13-01T00:00:00",
            "2025-03-20T14:30:10+02:00",
            "2025-03-20T14:30:10.1234567",
            "2025-03-20T14:30:10.",
            "1969-12-31T23:59:59.999999",
            "0000-01-01T00:00:00",
            "2100-01-01T00:00:00",
            "9999-12-31T23:59:59.999999",
            "\u0662\u0660\u0662\u0665-03-20T14:30:10",
            "2025-03-20t14:30:10z",
            " 2025-03-20T14:30:10",
        )
    },
    "dateTime a number": text(dateTime=1742481010),
    "receiveDateTime odd": text(receiveDateTime="yesterday"),
    "askMarkup a text": text(askMarkup="0"),
    "bidMarkup infinite": raw("bidMarkup", "1e999"),
    "isTradable a number": text(isTradable=1),
    "isTradable a text": text(isTradable="true"),
    "a megabyte, invalid": padded(TICK_BYTES - OVERHEAD, mid=-1),
}


def valid(n: int, at: str = AT, **changes: Any) -> bytes:
    """A tick of its own series, so that none is late or a duplicate."""
    return json.dumps(tick(at, symbol=f"OK{n}") | changes).encode()


ACCEPTED: dict[str, bytes] = {
    "plain": valid(0),
    "unknown fields": valid(1, more=[{"a": [1, 2, {"b": None}]}], ask2="x"),
    "1970": valid(2, "1970-01-01T00:00:00"),
    "a microsecond after 1970": valid(3, "1970-01-01T00:00:00.000001Z"),
    "leap day": valid(4, "2024-02-29T23:59:59.999999"),
    "the last second before a leap second": valid(5, "2016-12-31T23:59:59.999999Z"),
    "a huge price": valid(6, mid=1.7976931348623157e308),
    "a tiny price": valid(7, mid=5e-324),
    "the largest number": valid(8, number=(1 << 63) - 1),
    "number 0": valid(9, number=0),
    "the longest name": valid(10, symbol="x" * 64),
    "64 characters beyond ASCII": valid(11, symbol="é" * 64),
    "emoji, combined, right to left": valid(12, symbol="\U0001f469\u200de\u0301\u202e\u05e9"),
    "a lone space": valid(13, symbol=" "),
    "escaped": valid(14).replace(b"OK14", rb"\u004fK\ud83d\ude00"),
    "a number as a name": valid(15, symbol=15),
    "true as a name": valid(16, symbol=True),
    "a repeated key": valid(17)[:-1] + b',"mid":77.0}',
    "optional fields null": valid(18, receiveDateTime=None, askMarkup=None, isTradable=None),
    "pretty": json.dumps(tick(AT, symbol="OK19"), indent=2).encode(),
    "carriage returns": valid(20).replace(b", ", b",\r\n"),
    "a whole price": valid(21, mid=5),
    "an exponent": valid(22).replace(b'"mid": 1.0', b'"mid": 1.5E+2'),
    "ask below bid": valid(23, terminate=1, bid=9),
    "17 digits": valid(24, mid=0.1234567890123456789),
    "a megabyte": padded(TICK_BYTES - OVERHEAD, symbol="OK25"),
}


def test_every_odd_tick_is_a_dead_letter_or_accepted(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    hour_ahead, minute_ahead = (
        valid(99, soon(timedelta(hours=1))),
        valid(98, soon(timedelta(minutes=1))),
    )
    dead, accepted = [*DEAD.values(), hour_ahead], [*ACCEPTED.values(), minute_ahead]
    regular = [record(tick(AT, n + 1, n, "AAA")) for n in range(len(dead) + len(accepted))]
    odd: list[Record] = [(None, value) for value in [*dead, *accepted]]
    mixed = [item for pair in zip(odd, regular, strict=True) for item in pair]
    with Watch(pipeline), Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        with Feed(pipeline, mixed, 5):
            pass
        Progress(pipeline).reach(len(mixed))
        # The same ticks once more, in one batch.
        with Feed(pipeline, mixed, 0):
            pass
        Progress(pipeline).reach(2 * len(mixed))
        engine.stop()
    letters = [(m.key(), m.value()) for m in pipeline.records(pipeline.topics.dead)]
    assert letters == [(None, value) for value in dead] * 2
    check(pipeline)


def test_a_record_without_a_value_is_a_dead_letter(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick(AT))
    with Feed(pipeline, [(b"S:AAA", None), (b"", b"")], 0):  # type: ignore[list-item]
        pass
    pipeline.work_off()
    [tombstone, empty] = pipeline.records(pipeline.topics.dead)
    assert (tombstone.key(), tombstone.value()) == (b"S:AAA", None)
    assert (empty.key(), empty.value()) == (b"", b"")
    check(pipeline)
