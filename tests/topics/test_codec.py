"""Records and frames, against a strict reader in plain Python (tests/oracle.py)."""

import json
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homma.core.candle import order_key
from homma.core.interval import BY_NAME, INTERVALS
from homma.core.tick import JSON_SCHEMA, check
from homma.core.window import HELD
from homma.topics.codec import (
    CANDLE_JSON,
    NOT_AN_OBJECT,
    candles_from,
    candles_to,
    ticks_from,
    ticks_to,
)
from tests import oracle
from tests.core.effort import effort

GOOD: dict[str, Any] = {
    "source": "SOURCE_1",
    "symbol": "BNBUSD",
    "ask": 627.05,
    "bid": 627.04,
    "mid": 627.045,
    "askMarkup": 0,
    "bidMarkup": 0,
    "isTradable": True,
    "number": 11530579268,
    "dateTime": "2025-03-20T14:31:28.000",
    "receiveDateTime": "2025-03-20T14:31:28.386",
}
FINE = json.dumps(GOOD).encode()


def with_(**texts: str) -> bytes:
    """The good tick with the JSON text of some fields replaced, or of unknown ones added."""
    fields = {name: json.dumps(value) for name, value in GOOD.items()} | texts
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


#: Neighbours that send the reader down each of its ways.
NEIGHBOURS: tuple[bytes | None, ...] = (
    FINE,
    b"",
    None,
    b"x",
    b"{}",
    b"{} {}",
    b"\n",
    b" \r ",
    b'{"a":[1,{"b":null}]}',
    with_(isTradable="1"),
    with_(ask='"1"'),
    with_(number="1.5"),
    with_(source="[]"),
    with_(other="[1"),
    with_(other='"\\u00e9"'),
    FINE + FINE,
    FINE + b"\n" + FINE,
    FINE[:-1],
    b"\xff",
    b"\xef\xbb\xbf" + FINE,
    b"\x1f\x8b\x08",
    b"[" + FINE + b"]",
)


def judged(values: Sequence[bytes | None]) -> list[dict[str, Any]]:
    """The rows of `values`, judged at a timestamp at which no tick lies in the future."""
    raw = ticks_from(values)
    assert raw.height == len(values)
    assert raw.columns == [*JSON_SCHEMA.names(), "error"]
    assert raw.schema == pl.Schema({**JSON_SCHEMA, "error": pl.String()})
    return check(raw.with_columns(timestamp_us=pl.lit(1 << 60)), 0).rows(named=True)


def verdict(row: dict[str, Any]) -> str | dict[str, Any]:
    """The fields of an accepted row, or the reason of a refused one."""
    if row["error"] is not None:
        return str(row["error"])
    return {name: row[name] for name in JSON_SCHEMA.names()}


def same_double(one: float, other: float) -> bool:
    return struct.pack("<d", one) == struct.pack("<d", other)


def assert_as_the_oracle(value: bytes | None) -> None:
    row = judged([value])[0]
    expected = oracle.read(value)
    if isinstance(expected, str):
        assert row["error"] is not None, f"accepted, though its {expected} is wrong"
        return
    assert row["error"] is None
    for name, should in expected.items():
        assert row[name] == should, name
        if should and isinstance(should, float):  # a zero markup may lose its sign
            assert same_double(row[name], should), name


NUMBERS = [
    "0",
    "1",
    "-1",
    "-0",
    "1.0",
    "1.5",
    "0.0",
    "-0.0",
    "1e0",
    "1E+2",
    "1e-2",
    "0.1e1",
    "1e308",
    "1.7976931348623157e308",
    "5e-324",
    "4.9e-324",
    "2e-324",
    "1e-400",
    "2.2250738585072014e-308",
    "2.2250738585072011e-308",
    "0.1",
    "0.30000000000000004",
    "627.045",
    "8.5",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "100000000000000000000000",
    "123456789012345678901234567890.5",
    "0.000000000000000000000000000001",
    "1.00000000000000011102230246251565404236316680908203125",
    "0.500000000000000166533453693773481063544750213623046875",
    "3.518437208883201171875e13",
    "9355950000000000000.000000000000000000000000000000000018446744",
    "123456789.123456789",
    "1e23",
    "8.533e68",
    "1" + "0" * 38,
]
NO_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "inf",
    "01",
    "-01",
    "1.",
    ".5",
    "+1",
    "1e",
    "1e+",
    "0x10",
    "1_000",
    "--1",
    "- 1",
    "1 2",
]
OTHERS = [
    "null",
    "true",
    "false",
    "True",
    "tru",
    '""',
    '"1"',
    '"x"',
    '" "',
    "[]",
    "[1]",
    "[null]",
    "{}",
    '{"a":1}',
    '{"source":"x"}',
    "",
    "'x'",
    '"\x00"',
    '"\x1f"',
    '"a\tb"',
    '"a\rb"',
    '"a\nb"',
    '"\x7f"',
    '"\x80"',
    '"\x9f"',
    '"\xa0"',
    '"\\u0041"',
    '"\\n"',
    '"\\u0000"',
    '"\\u007f"',
    '"\\u0085"',
    '"\\/"',
    '"\\\\"',
    '"\\""',
    '"\\x41"',
    '"\\u12"',
    '"{"',
    '"}"',
    '"["',
    '"]"',
    '"é"',
    '"\ufffd"',
    '"\ufeff"',
    '"\U0001f600"',
    '"\\ud83d\\ude00"',
    '"\u2028"',
    '"' + "x" * 64 + '"',
    '"' + "x" * 65 + '"',
    '"' + "é" * 64 + '"',
    '"' + "\U0001f600" * 64 + '"',
    '"' + "é" * 65 + '"',
    '"' + "\\u00e9" * 64 + '"',
]
INSTANTS = [
    "2025-03-20T14:31:28",
    "2025-03-20T14:31:28Z",
    "2025-03-20T14:31:28.5",
    "2025-03-20T14:31:28.05",
    "2025-03-20T14:31:28.005",
    "2025-03-20T14:31:28.0005",
    "2025-03-20T14:31:28.00005",
    "2025-03-20T14:31:28.000005",
    "2025-03-20T14:31:28.000005Z",
    "2025-03-20T14:31:28.0000005",
    "2025-03-20T14:31:28.",
    "2025-03-20T14:31:28.Z",
    "2025-03-20T14:31:28z",
    "2025-03-20t14:31:28",
    "2025-03-20 14:31:28",
    "2025-03-20T14:31:28ZZ",
    "2025-03-20T14:31:28 Z",
    " 2025-03-20T14:31:28",
    "2025-03-20T14:31:28+00:00",
    "2025-03-20T14:31:28,5",
    "2025-03-20T14:31",
    "2025-03-20T14:31:60",
    "2025-03-20T14:60:28",
    "2025-03-20T24:00:00",
    "2025-03-20T25:00:00",
    "2025-02-29T00:00:00",
    "2025-02-30T00:00:00",
    "2024-02-29T23:59:59.999999",
    "2000-02-29T00:00:00",
    "2100-02-29T00:00:00",
    "2025-04-31T00:00:00",
    "2025-13-01T00:00:00",
    "2025-00-10T00:00:00",
    "2025-01-00T00:00:00",
    "1970-01-01T00:00:00",
    "1969-12-31T23:59:59.999999",
    "0000-00-00T00:00:00",
    "0001-01-01T00:00:00",
    "2100-12-31T23:59:59.999999",
    "9999-12-30T00:00:00",
    "+2025-03-20T14:31:28",
    "02025-03-20T14:31:28",
    "2025-3-20T14:31:28",
    "2025-03-20T1:31:28",
    "-025-03-20T14:31:28",
    "\uff12025-03-20T14:31:28",
    "2025-03-20T14:31:28.\u0663",
    "20250320T143128",
    "now",
    "",
]
FIELDS = JSON_SCHEMA.names()
TEXTS = [*NUMBERS, *NO_NUMBERS, *OTHERS, *(f'"{text}"' for text in INSTANTS)]
#: A name written as a number, whose text is not how a printer of numbers would write it.
UNUSUAL_NAMES = {"source", "symbol"}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_in_every_way(field: str) -> None:
    """What the contract accepts is accepted with its exact value; what it forbids is refused."""
    wrong = []
    for text in TEXTS:
        if field in UNUSUAL_NAMES and text in NUMBERS:
            continue  # has a test of its own below
        try:
            assert_as_the_oracle(with_(**{field: text}))
        except AssertionError as error:
            wrong.append((text, str(error).split("\n")[0]))
    assert wrong == []


@pytest.mark.parametrize("field", ["source", "symbol"])
def test_an_unusual_number_as_a_name_is_its_shortest_text(field: str) -> None:
    """docs/semantics.md says so: 1.50 and 1.5 are one name."""
    written = {"1.50": "1.5", "1e5": "100000", "-0": "0", "1.5": "1.5"}
    made = [row[field] for row in judged([with_(**{field: text}) for text in written])]
    assert made == list(written.values())


@pytest.mark.parametrize("field", ["source", "symbol"])
def test_a_usual_number_or_boolean_as_a_name_is_its_text(field: str) -> None:
    texts = ["0", "7", "-1", "700", "1.5", "0.25", "9007199254740993", "true", "false"]
    made = [row[field] for row in judged([with_(**{field: text}) for text in texts])]
    assert made == texts


@pytest.mark.parametrize("field", FIELDS)
def test_absent_and_null_are_the_same(field: str) -> None:
    absent, null = judged([without(field), with_(**{field: "null"})])
    assert absent == null
    assert (absent["error"] is None) == (field in oracle.OPTIONAL)


@pytest.mark.parametrize("field", FIELDS)
def test_of_a_repeated_key_the_first_counts(field: str) -> None:
    good = json.dumps(GOOD[field])
    name = f'"\\u{ord(field[0]):04x}{field[1:]}"'
    for other in ('"OTHER"', "null", "[]", "3", "false", '"2031-01-01T00:00:00"'):
        for key in (f'"{field}"', name):
            last = FINE[:-1] + f",{key}:{other}}}".encode()
            first = f"{{{key}:{other},".encode() + FINE[1:]
            twice_good = FINE[:-1] + f",{key}:{good}}}".encode()
            assert verdict(judged([last])[0]) == verdict(judged([FINE])[0])
            assert verdict(judged([twice_good])[0]) == verdict(judged([FINE])[0])
            assert_as_the_oracle(first)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" ",
        b"\n",
        b"\r\n",
        b"\x00",
        b"x",
        b"{",
        b"}",
        b"[]",
        b"[{}]",
        b"null",
        b"true",
        b"7",
        b'"x"',
        b"{}{}",
        FINE[:-1],
        FINE[1:],
        FINE + b"x",
        FINE + b"}",
        FINE + b",",
        FINE + b"\x00",
        b"\x00" + FINE,
        FINE + FINE,
        FINE + b" " + FINE,
        FINE + b"\n" + FINE,
        FINE + b"\r" + FINE,
        b"[" + FINE + b"]",
        FINE[:-1] + b",}",
        b"\xef\xbb\xbf" + FINE,
        b"\xff\xfe" + FINE,
        b"\x0c" + FINE,
        b"\x0b" + FINE,
        b"\xc2\xa0" + FINE,
        b"\xc2\x85" + FINE,
        b"\x1f\x8b\x08" + FINE,
        b"(\xb5/\xfd" + FINE,
        FINE.replace(b'"', b"'"),
        FINE[:-1] + b"/**/}",
        FINE[:-1] + b"//\n}",
        b"#\n" + FINE,
        FINE.replace(b"SOURCE_1", b"\xff"),
        FINE.replace(b"SOURCE_1", b"\xc0\xaf"),
        FINE.replace(b"SOURCE_1", b"\xed\xa0\x80"),
        FINE.replace(b"SOURCE_1", b"\xe2\x82"),
        FINE.replace(b"SOURCE_1", b"\xf4\x90\x80\x80"),
        FINE.decode().encode("utf-16"),
        with_(other='"\xff"').decode().encode("latin-1"),
        with_(other="tru"),
        with_(other='"a\nb"'),
        with_(other='"a\tb"'),
        with_(other='"\\x41"'),
        with_(other="[1,2"),
        with_(other='{"a":1,}'),
        with_(other='{"a" 1}'),
        with_(other="{a:1}"),
        with_(other="NaN"),
    ],
)
def test_what_is_no_json_object_in_utf8(value: bytes | None) -> None:
    assert oracle.read(value) == oracle.NOT_JSON
    assert str(judged([value])[0]["error"]).startswith(oracle.NOT_JSON)


@pytest.mark.parametrize(
    "value",
    [
        b" " + FINE + b" ",
        b"\r\n\t " + FINE + b"\r\n",
        FINE.replace(b", ", b",\n"),
        FINE.replace(b": ", b"\n:\r\n"),
        json.dumps(GOOD, indent=2).encode(),
        with_(other='{"a":[1,{"b":null,"b":2}],"source":"no"}'),
        with_(other='""'),
        with_(other="123456789012345678901234567890"),
        with_(Source='"no"'),
        with_(ASK="[]"),
        b'{"":1,' + FINE[1:],
        b'{"\\n":1,' + FINE[1:],
        with_(other='"{}[]\\\\"'),
        with_(other='"' + "x" * 1_000_000 + '"'),
        with_(other="[" * 100 + "]" * 100),
    ],
)
def test_what_is_ignored_changes_nothing(value: bytes) -> None:
    assert verdict(judged([value])[0]) == verdict(judged([FINE])[0])


#: JSON numbers beyond the widest types: a double, and 128 bits.
HUGE = ["1e999", "-1e999", "9" * 40, "-" + "9" * 40, "1" + "0" * 400]


@pytest.mark.parametrize("text", HUGE)
@pytest.mark.parametrize("field", ["other", "ask"])
def test_a_number_that_no_type_holds_is_not_json(field: str, text: str) -> None:
    """docs/semantics.md says so: the parser reads every number, also those of unknown fields."""
    assert judged([with_(**{field: text})])[0]["error"] == NOT_AN_OBJECT


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udc00b"', '"\\udc00\\ud800"', '"\\ud800x"'])
@pytest.mark.parametrize("field", ["source", "symbol", "dateTime", "receiveDateTime"])
def test_a_lone_surrogate_is_no_character(field: str, text: str) -> None:
    assert judged([with_(**{field: text})])[0]["error"] is not None


@pytest.mark.parametrize("depth", [1_500, 100_000, 250_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ("[", ""), ("", "]")])
def test_depth_stops_nobody(depth: int, opening: str, closing: str) -> None:
    """However deep a value goes, it is one row, and its neighbours are not touched."""
    deep = with_(other=opening * depth + "1" + closing * depth)
    rows = judged([FINE, deep, FINE])
    assert verdict(rows[0]) == verdict(rows[2]) == verdict(judged([FINE])[0])
    assert verdict(rows[1]) == verdict(judged([deep])[0]) == verdict(judged([deep, b"x"])[0])


#: One text of every kind that a reader may treat in its own way.
TYPES = ['"1"', '"\\n"', "true", "[]", '{"a":1}', "1.5", "1e999"]


@pytest.mark.parametrize("field", FIELDS)
def test_neighbours_change_nothing(field: str) -> None:
    """Alone, beside each neighbour, before and after it: the same row."""
    wrong = []
    for text in TYPES:
        value = with_(**{field: text})
        alone = verdict(judged([value])[0])
        for neighbour in NEIGHBOURS:
            rows = judged([neighbour, value, neighbour])
            if verdict(rows[1]) != alone:
                wrong.append((text, neighbour, alone, verdict(rows[1])))
    assert wrong == []


def test_nothing_and_nobody() -> None:
    assert judged([]) == []


def test_many_values_keep_their_order() -> None:
    """Enough of them that a reader which splits its input has something to split."""
    values = [with_(number=str(n)) if n % 7 else NEIGHBOURS[n % 22] for n in range(5_000)]
    rows = judged(values)
    for n, row in enumerate(rows):
        if n % 7:
            assert row["number"] == n
            assert row["error"] is None


# --- the fuzz ---------------------------------------------------------------------------------
JSON_TEXT = st.sampled_from(TEXTS)
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t", "\r", "\r\n", "\x0b", "\u00a0"])


@st.composite
def tick_like(draw: st.DrawFn) -> bytes:
    """A tick with a few fields wrong, doubled, dropped or added, and odd white space."""
    fields = [(name, json.dumps(value)) for name, value in GOOD.items()]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(fields) - 1))
        match draw(st.sampled_from(["drop", "text", "add", "unknown"])):
            case "drop" if len(fields) > 1:
                fields.pop(at)
            case "text":
                fields[at] = (fields[at][0], draw(JSON_TEXT))
            case "add":
                fields.insert(at, (fields[at][0], draw(JSON_TEXT)))
            case _:
                name = draw(st.sampled_from(["x", "", "a\\u0041", "é", "SOURCE", "\\ud83d\\ude00"]))
                fields.insert(at, (name, draw(JSON_TEXT)))
    pairs = [f'{draw(SPACE)}"{name}"{draw(SPACE)}:{text}' for name, text in fields]
    return (draw(SPACE) + "{" + ",".join(pairs) + "}" + draw(SPACE)).encode()


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A tick with some of its bytes replaced, removed, doubled or put in."""
    value = bytearray(draw(tick_like()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(value) - 1)))
        some = draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\\", b"0", b"e"])
        )
        value[at : at + draw(st.integers(0, 3))] = some
    return bytes(value)


VALUES = tick_like() | mangled() | st.binary(max_size=20) | st.sampled_from(NEIGHBOURS)


def _grey(value: bytes | None) -> bool:
    """Whether the contract leaves open what becomes of a value, or a test above owns it."""
    parsed = oracle.json_object(value)
    if parsed is None:
        return False
    text = json.dumps(parsed, default=lambda number: f"#{number.text}")
    beyond = [v for v in _numbers(parsed) if not abs(float(v.text)) < 1e38]
    named = any(isinstance(parsed.get(name), oracle.Number) for name in UNUSUAL_NAMES)
    return bool(beyond) or named or "\\ud" in text


def _numbers(value: Any) -> list[oracle.Number]:
    if isinstance(value, oracle.Number):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for part in inner for number in _numbers(part)]


@effort(8)
@given(VALUES)
def test_fuzz_agrees_with_the_oracle(value: bytes | None) -> None:
    if _grey(value):
        assert len(judged([value])) == 1
    else:
        assert_as_the_oracle(value)


@effort(4)
@given(st.lists(VALUES, min_size=1, max_size=8))
@example([FINE + FINE, b""])
@example([b"", FINE + b"\n" + FINE])
@example([b"{}{}", None])
@example([b"x", with_(source="[]")])
def test_fuzz_a_batch_is_its_values(values: list[bytes | None]) -> None:
    together = [verdict(row) for row in judged(values)]
    assert together == [verdict(judged([value])[0]) for value in values]


@effort(8)
@given(st.lists(st.floats(min_value=0, exclude_min=True, allow_infinity=False), min_size=3))
def test_doubles_come_out_exact(prices: list[float]) -> None:
    """Whatever the shortest text of a double, and a longer one, it is that double."""
    texts = [form for price in prices for form in (repr(price), f"{price:.25e}")]
    frame = ticks_from([with_(ask=text, askMarkup="-" + text) for text in texts])
    for text, ask, markup in zip(texts, frame["ask"], frame["askMarkup"], strict=True):
        assert same_double(ask, float(text))
        assert same_double(markup, -float(text))


# --- ticks written ----------------------------------------------------------------------------
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\{}[]'),
    min_size=1,
    max_size=64,
)
PRICES = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@effort(4)
@given(st.lists(st.tuples(NAMES, NAMES, PRICES, st.integers(0, 2**63 - 1)), max_size=5))
def test_ticks_written_read_back(rows: list[tuple[str, str, float, int]]) -> None:
    ticks = pl.DataFrame(
        [
            GOOD | {"source": s, "symbol": y, "ask": price, "mid": price, "number": number}
            for s, y, price, number in rows
        ],
        schema=JSON_SCHEMA,
    )
    keys, values = ticks_to(ticks)
    assert keys == [f"{source}:{symbol}".encode() for source, symbol, _, _ in rows]
    back = judged(values)
    assert [row["error"] for row in back] == [None] * len(rows)
    assert [verdict(row) for row in back] == ticks.rows(named=True)
    assert [oracle.read(value) for value in values] == ticks.rows(named=True)


# --- candles ----------------------------------------------------------------------------------
def _us(text: str) -> int:
    at = oracle.instant(text)
    assert at is not None
    return (at - oracle.EPOCH) // timedelta(microseconds=1)


def held(rows: list[dict[str, Any]], interval: str) -> pl.DataFrame:
    """Candles as the contract shows them, as the frame that the window publishes."""
    index = next(i for i, row in enumerate(INTERVALS) if row.name == interval)
    raw = pl.DataFrame(
        {
            "source": [row["source"] for row in rows],
            "symbol": [row["symbol"] for row in rows],
            "series": [0 for _ in rows],
            "interval": [index for _ in rows],
            "start_us": [_us(row["dateTime"]) for row in rows],
            "end_us": [0 for _ in rows],
            "open_us": [_us(row["openDateTime"]) for row in rows],
            "open_number": [row["openNumber"] for row in rows],
            "close_us": [_us(row["closeDateTime"]) for row in rows],
            "close_number": [row["closeNumber"] for row in rows],
            "published_us": [0 for _ in rows],
            **{n: [row[n] for row in rows] for n in ("open", "high", "low", "close", "volume")},
            "is_final": [row["isFinal"] for row in rows],
            "revision": [row["revision"] for row in rows],
        },
        schema_overrides={
            "source": pl.String,
            "symbol": pl.String,
            "series": pl.UInt32,
            "interval": pl.UInt8,
            "start_us": pl.Int64,
            "end_us": pl.Int64,
            "open_us": pl.Int64,
            "close_us": pl.Int64,
            "open_number": pl.Int64,
            "close_number": pl.Int64,
            "published_us": pl.Int64,
            "open": pl.Float64,
            "high": pl.Float64,
            "low": pl.Float64,
            "close": pl.Float64,
            "volume": pl.Int64,
            "is_final": pl.Boolean,
            "revision": pl.Int32,
        },
    )
    return raw.with_columns(
        end_us=BY_NAME[interval].next(pl.col("start_us")),
        open_order_key=order_key(pl.col("open_us"), pl.col("open_number")),
        close_order_key=order_key(pl.col("close_us"), pl.col("close_number")),
    ).select("source", "symbol", *HELD.names())


ONE: dict[str, Any] = {
    "source": "SOURCE_1",
    "symbol": "BNBUSD",
    "dateTime": "2025-03-20T14:31:00.000",
    "open": 627.045,
    "high": 628.0,
    "low": 0.1,
    "close": 5e-324,
    "volume": 9007199254740993,
    "openDateTime": "2025-03-20T14:31:28.000000",
    "openNumber": 2**63 - 1,
    "closeDateTime": "2025-03-20T14:31:59.999999",
    "closeNumber": 0,
    "isFinal": True,
    "revision": 3,
}


def test_a_candle_record() -> None:
    (key,), (value,) = candles_to(held([ONE], "1min"), _us("2025-03-20T14:32:02.000001"))
    assert key == (b'{"source":"SOURCE_1","symbol":"BNBUSD","dateTime":"2025-03-20T14:31:00.000"}')
    assert json.loads(value) == ONE | {"updateDateTime": "2025-03-20T14:32:02.000001"}
    assert list(json.loads(value)) == [*ONE, "updateDateTime"] == CANDLE_JSON.names()
    assert b" " not in value


@pytest.mark.parametrize(
    ("source", "symbol"), [("Börse", "€/日本"), ("\U0001f600", "\u2028"), ("a/b", "<&'>")]
)
def test_names_are_not_escaped(source: str, symbol: str) -> None:
    one = ONE | {"source": source, "symbol": symbol}
    (key,), (value,) = candles_to(held([one], "1month"), 0)
    start = one["dateTime"]
    assert key.decode() == f'{{"source":"{source}","symbol":"{symbol}","dateTime":"{start}"}}'
    assert f'"source":"{source}","symbol":"{symbol}"' in value.decode()


def test_no_candles() -> None:
    assert candles_to(held([], "1day"), 0) == ([], [])
    assert candles_from([], 0).is_empty()
    assert candles_from([], 0).columns == candles_from([json.dumps(ONE).encode()], 0).columns


AT = st.datetimes(oracle.EPOCH, datetime(2100, 12, 31)).map(
    lambda at: at.isoformat(timespec="microseconds")
)
CANDLES = st.fixed_dictionaries(
    {
        "source": NAMES,
        "symbol": NAMES,
        "open": PRICES,
        "high": PRICES,
        "low": PRICES,
        "close": PRICES,
        "volume": st.integers(1, 2**63 - 1),
        "openDateTime": AT,
        "openNumber": st.integers(0, 2**63 - 1),
        "closeDateTime": AT,
        "closeNumber": st.integers(0, 2**63 - 1),
        "isFinal": st.booleans(),
        "revision": st.integers(0, 2**31 - 1),
    }
)


@effort(5)
@given(st.lists(CANDLES, max_size=4), st.sampled_from(oracle.NAMES))
def test_candles_go_there_and_back(rows: list[dict[str, Any]], interval: str) -> None:
    for row in rows:
        start = oracle.start_of(interval, datetime.fromisoformat(row["openDateTime"]))
        row["dateTime"] = start.isoformat(timespec="milliseconds")
        if start < oracle.EPOCH:
            row["dateTime"] = "1970-01-05T00:00:00.000"
    there = held(rows, interval)
    index = oracle.NAMES.index(interval)
    keys, values = candles_to(there, 0)
    for row, key, value in zip(rows, keys, values, strict=True):
        names = {name: row[name] for name in ("source", "symbol", "dateTime")}
        assert key.decode() == json.dumps(names, ensure_ascii=False, separators=(",", ":"))
        told = json.loads(value)
        assert told == row | {"updateDateTime": "1970-01-01T00:00:00.000000"}
        assert all(same_double(told[n], row[n]) for n in ("open", "high", "low", "close"))
    back = candles_from(values, index)
    assert back.rows(named=True) == there.select(back.columns).rows(named=True)


def test_another_engines_candle() -> None:
    """It knows nothing of isFinal and revision, and writes its fields in its own order."""
    theirs = {name: ONE[name] for name in reversed(ONE) if name not in ("isFinal", "revision")}
    row = candles_from([json.dumps(theirs | {"more": [1]}).encode()], 0).row(0, named=True)
    mine = candles_from([json.dumps(ONE).encode()], 0).row(0, named=True)
    assert row == mine | {"is_final": None, "revision": None}


@pytest.mark.parametrize("value", [b"x", b"[]", b'"x"', b"{", b"{}{}", b"\xff"])
@pytest.mark.parametrize("place_in_batch", [0, 1, 2])
def test_what_is_no_candle_raises(value: bytes, place_in_batch: int) -> None:
    values = [json.dumps(ONE).encode()] * 2
    values.insert(place_in_batch, value)
    with pytest.raises(pl.exceptions.ComputeError):
        candles_from(values, 0)
    with pytest.raises(pl.exceptions.ComputeError):
        candles_from([value], 0)


@pytest.mark.parametrize("blank", [b" ", b"\r", b"\n"])
def test_a_blank_value_is_no_candle(blank: bytes) -> None:
    """As many candles as values, or an error: the caller counts on their order."""
    with pytest.raises(pl.exceptions.ComputeError):
        candles_from([json.dumps(ONE).encode(), blank], 0)


def test_the_frame_of_a_schema_registry_is_passed_over() -> None:
    bare = b'{"source":"S","symbol":"A","dateTime":"2025-03-20T14:31:00.000","open":1.5}'
    framed = b"\0\0\0\1\x86" + bare
    assert candles_from([framed, bare], 0).rows() == candles_from([bare, bare], 0).rows()
