"""The codec, compared with a strict parser in plain Python (tests/support/oracle.py)."""

import json
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homma.core.candle import order_key
from homma.core.decimals import DECIMAL
from homma.core.fields import CANDLE_FIELDS, TRADED, record_fields
from homma.core.interval import BY_CODE, CODE, Interval
from homma.core.tick import FIELDS as TICK
from homma.core.tick import JSON_SCHEMA, PARSED, TickRules, check
from homma.core.window import PUBLISHED
from homma.formats import CURRENT
from homma.topics.codec import (
    NOT_AN_OBJECT,
    decode_candle_texts,
    decode_candles,
    decode_ticks,
    encode_candle_keys,
    encode_candles,
    encode_ticks,
)
from tests.support import oracle
from tests.support.effort import effort
from tests.support.tick_logs import SIZES
from tests.topics.tick_texts import (
    GOOD,
    INVALID_NUMBERS,
    NUMBERS,
    OTHER_TEXTS,
    VALID,
    with_,
    without,
)

#: Neighbors in a batch that take the parser through each of its branches.
NEIGHBOURS: tuple[bytes | None, ...] = (
    VALID,
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
    VALID + VALID,
    VALID + b"\n" + VALID,
    VALID[:-1],
    b"\xff",
    b"\xef\xbb\xbf" + VALID,
    b"\x1f\x8b\x08",
    b"[" + VALID + b"]",
)


def checked(values: Sequence[bytes | None]) -> list[dict[str, Any]]:
    """The parsed and checked rows, with a timestamp at which no tick is in the future."""
    raw = decode_ticks(values)
    assert raw.height == len(values)
    assert raw.columns == [*JSON_SCHEMA.names(), "error"]
    assert raw.schema == PARSED
    return check(raw.with_columns(timestamp_us=pl.lit(1 << 60)), TickRules(0)).rows(named=True)


def verdict(row: dict[str, Any]) -> str | dict[str, Any]:
    """The fields of a valid row, or the error of an invalid row."""
    if row["error"] is not None:
        return str(row["error"])
    return {name: row[name] for name in JSON_SCHEMA.names()}


def same_double(a: float, b: float) -> bool:
    return struct.pack("<d", a) == struct.pack("<d", b)


def assert_as_the_oracle(value: bytes | None) -> None:
    row = checked([value])[0]
    expected = oracle.read(value)
    if isinstance(expected, str):
        assert row["error"] is not None, f"accepted, but the {expected} is invalid"
        return
    assert row["error"] is None
    for name, field in expected.items():
        assert row[name] == field, name
        if field and isinstance(field, float):  # a zero markup may lose its sign
            assert same_double(row[name], field), name


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
TEXTS = [*NUMBERS, *INVALID_NUMBERS, *OTHER_TEXTS, *(f'"{text}"' for text in INSTANTS)]
#: Fields whose value may be a number. Its text may not be the usual spelling of the number.
NAME_FIELDS = {"source", "symbol"}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_with_every_text(field: str) -> None:
    """Valid values are accepted exactly, and invalid values are rejected."""
    failures = []
    for text in TEXTS:
        if field in NAME_FIELDS and text in NUMBERS:
            continue  # tested below
        try:
            assert_as_the_oracle(with_(**{field: text}))
        except AssertionError as error:
            failures.append((text, str(error).split("\n")[0]))
    assert failures == []


@pytest.mark.parametrize("field", ["source", "symbol"])
def test_a_name_that_is_a_number_is_its_shortest_text(field: str) -> None:
    """As in docs/semantics.md: 1.50 and 1.5 are one name."""
    names = {"1.50": "1.5", "1e5": "100000", "-0": "0", "1.5": "1.5"}
    actual = [row[field] for row in checked([with_(**{field: text}) for text in names])]
    assert actual == list(names.values())


@pytest.mark.parametrize("field", ["source", "symbol"])
def test_a_name_that_is_a_usual_number_or_boolean_is_its_text(field: str) -> None:
    texts = ["0", "7", "-1", "700", "1.5", "0.25", "9007199254740993", "true", "false"]
    actual = [row[field] for row in checked([with_(**{field: text}) for text in texts])]
    assert actual == texts


@pytest.mark.parametrize("field", FIELDS)
def test_absent_and_null_are_the_same(field: str) -> None:
    absent, null = checked([without(field), with_(**{field: "null"})])
    assert absent == null
    needed = {*oracle.REQUIRED, *oracle.QUOTE, "price"}
    assert (absent["error"] is None) == (field not in needed)


@pytest.mark.parametrize("field", FIELDS)
def test_the_first_of_a_repeated_key_counts(field: str) -> None:
    good = json.dumps(GOOD[field])
    escaped = f'"\\u{ord(field[0]):04x}{field[1:]}"'
    for other in ('"OTHER"', "null", "[]", "3", "false", '"2031-01-01T00:00:00"'):
        for key in (f'"{field}"', escaped):
            last = VALID[:-1] + f",{key}:{other}}}".encode()
            first = f"{{{key}:{other},".encode() + VALID[1:]
            twice_good = VALID[:-1] + f",{key}:{good}}}".encode()
            assert verdict(checked([last])[0]) == verdict(checked([VALID])[0])
            assert verdict(checked([twice_good])[0]) == verdict(checked([VALID])[0])
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
        VALID[:-1],
        VALID[1:],
        VALID + b"x",
        VALID + b"}",
        VALID + b",",
        VALID + b"\x00",
        b"\x00" + VALID,
        VALID + VALID,
        VALID + b" " + VALID,
        VALID + b"\n" + VALID,
        VALID + b"\r" + VALID,
        b"[" + VALID + b"]",
        VALID[:-1] + b",}",
        b"\xef\xbb\xbf" + VALID,
        b"\xff\xfe" + VALID,
        b"\x0c" + VALID,
        b"\x0b" + VALID,
        b"\xc2\xa0" + VALID,
        b"\xc2\x85" + VALID,
        b"\x1f\x8b\x08" + VALID,
        b"(\xb5/\xfd" + VALID,
        VALID.replace(b'"', b"'"),
        VALID[:-1] + b"/**/}",
        VALID[:-1] + b"//\n}",
        b"#\n" + VALID,
        VALID.replace(b"SOURCE_1", b"\xff"),
        VALID.replace(b"SOURCE_1", b"\xc0\xaf"),
        VALID.replace(b"SOURCE_1", b"\xed\xa0\x80"),
        VALID.replace(b"SOURCE_1", b"\xe2\x82"),
        VALID.replace(b"SOURCE_1", b"\xf4\x90\x80\x80"),
        VALID.decode().encode("utf-16"),
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
def test_other_values_than_json_objects_in_utf8(value: bytes | None) -> None:
    assert oracle.read(value) == oracle.NOT_JSON
    assert str(checked([value])[0]["error"]).startswith(oracle.NOT_JSON)


@pytest.mark.parametrize(
    "value",
    [
        b" " + VALID + b" ",
        b"\r\n\t " + VALID + b"\r\n",
        VALID.replace(b", ", b",\n"),
        VALID.replace(b": ", b"\n:\r\n"),
        json.dumps(GOOD, indent=2).encode(),
        with_(other='{"a":[1,{"b":null,"b":2}],"source":"no"}'),
        with_(other='""'),
        with_(other="123456789012345678901234567890"),
        with_(Source='"no"'),
        with_(ASK="[]"),
        b'{"":1,' + VALID[1:],
        b'{"\\n":1,' + VALID[1:],
        with_(other='"{}[]\\\\"'),
        with_(other='"' + "x" * 1_000_000 + '"'),
        with_(other="[" * 100 + "]" * 100),
    ],
)
def test_white_space_and_unknown_fields_are_ignored(value: bytes) -> None:
    assert verdict(checked([value])[0]) == verdict(checked([VALID])[0])


#: JSON numbers that exceed the widest types: a double and a 128-bit integer.
HUGE = ["1e999", "-1e999", "9" * 40, "-" + "9" * 40, "1" + "0" * 400]


@pytest.mark.parametrize("text", HUGE)
@pytest.mark.parametrize("field", ["other", "ask"])
def test_a_number_that_no_type_holds_is_not_json(field: str, text: str) -> None:
    """As in docs/semantics.md: the parser reads all numbers, even in unknown fields."""
    assert checked([with_(**{field: text})])[0]["error"] == NOT_AN_OBJECT


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udc00b"', '"\\udc00\\ud800"', '"\\ud800x"'])
@pytest.mark.parametrize("field", ["source", "symbol", "dateTime", "receiveDateTime"])
def test_a_lone_surrogate_is_invalid(field: str, text: str) -> None:
    assert checked([with_(**{field: text})])[0]["error"] is not None


@pytest.mark.parametrize("depth", [1_500, 100_000, 250_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ("[", ""), ("", "]")])
def test_deep_nesting_is_no_problem(depth: int, opening: str, closing: str) -> None:
    """A deeply nested value is one row and does not affect its neighbors."""
    deep = with_(other=opening * depth + "1" + closing * depth)
    rows = checked([VALID, deep, VALID])
    assert verdict(rows[0]) == verdict(rows[2]) == verdict(checked([VALID])[0])
    assert verdict(rows[1]) == verdict(checked([deep])[0]) == verdict(checked([deep, b"x"])[0])


#: One text of each type that parsers may treat differently.
TYPES = ['"1"', '"\\n"', "true", "[]", '{"a":1}', "1.5", "1e999"]


@pytest.mark.parametrize("field", FIELDS)
def test_neighbours_change_nothing(field: str) -> None:
    """A value gives the same row alone and between any neighbors."""
    failures = []
    for text in TYPES:
        value = with_(**{field: text})
        alone = verdict(checked([value])[0])
        for neighbour in NEIGHBOURS:
            rows = checked([neighbour, value, neighbour])
            if verdict(rows[1]) != alone:
                failures.append((text, neighbour, alone, verdict(rows[1])))
    assert failures == []


def test_an_empty_batch() -> None:
    assert checked([]) == []


def test_many_values_keep_their_order() -> None:
    """Enough values that a parser that splits its input does so."""
    values = [with_(number=str(n)) if n % 7 else NEIGHBOURS[n % 22] for n in range(5_000)]
    rows = checked(values)
    for n, row in enumerate(rows):
        if n % 7:
            assert row["number"] == n
            assert row["error"] is None


# --- the fuzz ---------------------------------------------------------------------------------
JSON_TEXT = st.sampled_from(TEXTS)
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t", "\r", "\r\n", "\x0b", "\u00a0"])


@st.composite
def tick_like(draw: st.DrawFn) -> bytes:
    """A tick with some fields invalid, repeated, removed or added, and unusual white space."""
    fields = [(name, json.dumps(value)) for name, value in GOOD.items()]
    for _ in range(draw(st.integers(0, 3))):
        index = draw(st.integers(0, len(fields) - 1))
        match draw(st.sampled_from(["drop", "text", "add", "unknown"])):
            case "drop" if len(fields) > 1:
                fields.pop(index)
            case "text":
                fields[index] = (fields[index][0], draw(JSON_TEXT))
            case "add":
                fields.insert(index, (fields[index][0], draw(JSON_TEXT)))
            case _:
                name = draw(st.sampled_from(["x", "", "a\\u0041", "é", "SOURCE", "\\ud83d\\ude00"]))
                fields.insert(index, (name, draw(JSON_TEXT)))
    pairs = [f'{draw(SPACE)}"{name}"{draw(SPACE)}:{text}' for name, text in fields]
    return (draw(SPACE) + "{" + ",".join(pairs) + "}" + draw(SPACE)).encode()


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A tick with some bytes replaced, removed, repeated or inserted."""
    value = bytearray(draw(tick_like()))
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, max(0, len(value) - 1)))
        replacement = draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\\", b"0", b"e"])
        )
        value[index : index + draw(st.integers(0, 3))] = replacement
    return bytes(value)


VALUES = tick_like() | mangled() | st.binary(max_size=20) | st.sampled_from(NEIGHBOURS)


def _is_unspecified(value: bytes | None) -> bool:
    """Whether the contract does not define the result for a value, or a test above covers it."""
    parsed = oracle.json_object(value)
    if parsed is None:
        return False
    text = json.dumps(parsed, default=lambda number: f"#{number.text}")
    too_large = [v for v in _numbers(parsed) if not abs(float(v.text)) < 1e38]
    has_number_as_name = any(isinstance(parsed.get(name), oracle.Number) for name in NAME_FIELDS)
    return bool(too_large) or has_number_as_name or "\\ud" in text


def _numbers(value: Any) -> list[oracle.Number]:
    if isinstance(value, oracle.Number):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for part in parts for number in _numbers(part)]


@effort(8)
@given(VALUES)
def test_fuzz_agrees_with_the_oracle(value: bytes | None) -> None:
    if _is_unspecified(value):
        assert len(checked([value])) == 1
    else:
        assert_as_the_oracle(value)


@effort(4)
@given(st.lists(VALUES, min_size=1, max_size=8))
@example([VALID + VALID, b""])
@example([b"", VALID + b"\n" + VALID])
@example([b"{}{}", None])
@example([b"x", with_(source="[]")])
def test_fuzz_a_batch_equals_its_values_parsed_alone(values: list[bytes | None]) -> None:
    batch = [verdict(row) for row in checked(values)]
    assert batch == [verdict(checked([value])[0]) for value in values]


@effort(8)
@given(st.lists(st.floats(min_value=0, exclude_min=True, allow_infinity=False), min_size=3))
def test_doubles_are_exact(prices: list[float]) -> None:
    """The shortest text of a double and a longer text both parse to that double."""
    texts = [text for price in prices for text in (repr(price), f"{price:.25e}")]
    frame = decode_ticks([with_(ask=text, askMarkup="-" + text) for text in texts])
    for text, ask, markup in zip(texts, frame["ask"], frame["askMarkup"], strict=True):
        assert same_double(ask, float(text))
        assert same_double(markup, -float(text))


# --- encoding ticks ---------------------------------------------------------------------------
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\{}[]'),
    min_size=1,
    max_size=64,
)
PRICES = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@effort(4)
@given(st.lists(st.tuples(NAMES, NAMES, PRICES, SIZES, st.integers(0, 2**63 - 1)), max_size=5))
def test_encoded_ticks_decode_to_the_same_ticks(
    rows: list[tuple[str, str, float, Decimal | None, int]],
) -> None:
    ticks = pl.DataFrame(
        [
            GOOD | {"source": s, "symbol": y, "ask": p, "mid": p, "size": size, "number": number}
            for s, y, p, size, number in rows
        ],
        schema=TICK,
    )
    keys, values = encode_ticks(ticks)
    assert keys == [f"{source}:{symbol}".encode() for source, symbol, *_ in rows]
    decoded = checked(values)
    assert [row["error"] for row in decoded] == [None] * len(rows)
    assert [verdict(row) for row in decoded] == ticks.rows(named=True)
    assert [oracle.read(value) for value in values] == ticks.rows(named=True)


# --- candles ----------------------------------------------------------------------------------
def _us(text: str) -> int:
    instant = oracle.instant(text)
    assert instant is not None
    return (instant - oracle.EPOCH) // timedelta(microseconds=1)


MINUTE = BY_CODE["m1"]
INTERVALS = st.sampled_from(list(BY_CODE.values()))
#: The fields that a frame has under the names that they have in `fields`.
SAME: dict[str, pl.DataType] = {
    field.json: field.dtype
    for field in CANDLE_FIELDS
    if field.of != "trade"
    if field.merge or field.json in ("source", "symbol", "isFinal", "revision")
}


def candle_frame(rows: list[dict[str, Any]], interval: Interval) -> pl.DataFrame:
    """Candles with the contract's fields, converted to the frame that the window publishes."""
    instants = {"start_us": "dateTime", "open_us": "openDateTime", "close_us": "closeDateTime"}
    columns = {field.json: field.column for field in CANDLE_FIELDS if field.of != "trade"}
    raw = pl.DataFrame(
        {
            **{name: [_us(row[of]) for row in rows] for name, of in instants.items()},
            **{name: [row[name] for row in rows] for name in ("openNumber", "closeNumber")},
            **{name: [row[name] for row in rows] for name in SAME},
        },
        schema={
            **dict.fromkeys((*instants, "openNumber", "closeNumber"), pl.Int64()),
            **SAME,
        },
    )
    return (
        raw.rename({name: columns[name] for name in SAME})
        .with_columns(
            *(pl.lit(0, field.dtype).alias(field.column) for field in TRADED),
            series=pl.lit(0, pl.UInt32),
            interval=pl.lit(interval.code, CODE),
            published_us=pl.lit(0, pl.Int64),
            end_us=interval.next(pl.col("start_us")),
            open_order_key=order_key(pl.col("open_us"), pl.col("openNumber")),
            close_order_key=order_key(pl.col("close_us"), pl.col("closeNumber")),
        )
        .select("source", "symbol", *PUBLISHED.names())
    )


CANDLE_ROW: dict[str, Any] = {
    "source": "SOURCE_1",
    "symbol": "BNBUSD",
    "dateTime": "2025-03-20T14:31:00.000",
    "open": 627.045,
    "high": 628.0,
    "low": 0.1,
    "close": 5e-324,
    "volume": 9007199254740993,
    "tickCount": 9007199254740992,
    "openDateTime": "2025-03-20T14:31:28.000000",
    "openNumber": 2**63 - 1,
    "closeDateTime": "2025-03-20T14:31:59.999999",
    "closeNumber": 0,
    "isFinal": True,
    "revision": 3,
}


def test_a_candle_record() -> None:
    (key,), (value,) = encode_candles(
        candle_frame([CANDLE_ROW], MINUTE), _us("2025-03-20T14:32:02.000001")
    )
    assert key == (b'{"source":"SOURCE_1","symbol":"BNBUSD","dateTime":"2025-03-20T14:31:00.000"}')
    assert json.loads(value) == CANDLE_ROW | {"updateDateTime": "2025-03-20T14:32:02.000001"}
    assert (
        list(json.loads(value))
        == [*CANDLE_ROW, "updateDateTime"]
        == [f.json for f in record_fields("quote", CURRENT)]
    )
    assert b" " not in value


@pytest.mark.parametrize(
    ("source", "symbol"), [("Börse", "€/日本"), ("\U0001f600", "\u2028"), ("a/b", "<&'>")]
)
def test_names_are_not_escaped(source: str, symbol: str) -> None:
    row = CANDLE_ROW | {"source": source, "symbol": symbol}
    (key,), (value,) = encode_candles(candle_frame([row], BY_CODE["M1"]), 0)
    start = row["dateTime"]
    assert key.decode() == f'{{"source":"{source}","symbol":"{symbol}","dateTime":"{start}"}}'
    assert f'"source":"{source}","symbol":"{symbol}"' in value.decode()


def test_no_candles() -> None:
    assert encode_candles(candle_frame([], BY_CODE["D1"]), 0) == ([], [])
    assert decode_candles([], MINUTE).is_empty()
    assert (
        decode_candles([], MINUTE).columns
        == decode_candles([json.dumps(CANDLE_ROW).encode()], MINUTE).columns
    )


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
        "tickCount": st.integers(1, 2**63 - 1),
        "openDateTime": AT,
        "openNumber": st.integers(0, 2**63 - 1),
        "closeDateTime": AT,
        "closeNumber": st.integers(0, 2**63 - 1),
        "isFinal": st.booleans(),
        "revision": st.integers(0, 2**31 - 1),
    }
)


@effort(5)
@given(st.lists(CANDLES, max_size=4), INTERVALS)
def test_encoded_candles_decode_to_the_same_candles(
    rows: list[dict[str, Any]], interval: Interval
) -> None:
    for row in rows:
        start = oracle.start_of(interval.name, datetime.fromisoformat(row["openDateTime"]))
        row["dateTime"] = start.isoformat(timespec="milliseconds")
        if start < oracle.EPOCH:
            row["dateTime"] = "1970-01-05T00:00:00.000"
    candles = candle_frame(rows, interval)
    keys, values = encode_candles(candles, 0)
    for row, key, value in zip(rows, keys, values, strict=True):
        names = {name: row[name] for name in ("source", "symbol", "dateTime")}
        assert key.decode() == json.dumps(names, ensure_ascii=False, separators=(",", ":"))
        fields = json.loads(value)
        assert fields == row | {"updateDateTime": "1970-01-01T00:00:00.000000"}
        assert all(same_double(fields[n], row[n]) for n in ("open", "high", "low", "close"))
    decoded = decode_candles(values, interval)
    assert decoded.rows(named=True) == candles.select(decoded.columns).rows(named=True)


SUMS = st.decimals(-(10**26) + 1, 10**26 - 1, places=12, allow_nan=False)


@effort(4)
@given(st.lists(st.tuples(SUMS.map(abs), SUMS), max_size=4))
def test_candles_of_trades_decode_to_the_same_candles(sums: list[tuple[Decimal, Decimal]]) -> None:
    """Volume and turnover are exact, in the shortest plain text."""
    candles = candle_frame([CANDLE_ROW] * len(sums), MINUTE).with_columns(
        traded_volume=pl.Series([volume for volume, _ in sums], dtype=DECIMAL),
        turnover=pl.Series([turnover for _, turnover in sums], dtype=DECIMAL),
        volume=pl.col("tick_count"),
    )
    _, values = encode_candles(candles, 0, "trade")
    for value, (volume, turnover) in zip(values, sums, strict=True):
        fields = json.loads(value, parse_float=str, parse_int=str)
        assert list(fields) == [field.json for field in record_fields("trade", CURRENT)]
        assert fields["volume"] == oracle.text_of(volume)
        assert fields["turnover"] == oracle.text_of(turnover)
    decoded = decode_candles(values, MINUTE)
    assert decoded.rows(named=True) == candles.select(decoded.columns).rows(named=True)


def test_candles_of_quotes_and_of_trades_in_one_batch() -> None:
    quote = candle_frame([CANDLE_ROW], MINUTE)
    trade = quote.with_columns(
        traded_volume=pl.lit("0.5").cast(DECIMAL), turnover=pl.lit("7").cast(DECIMAL)
    )
    values = [*encode_candles(quote, 0)[1], *encode_candles(trade, 0, "trade")[1]]
    rows = decode_candle_texts(values).rows(named=True)
    assert [(r["volume"], r["traded_volume"], r["turnover"]) for r in rows] == [
        (CANDLE_ROW["volume"], None, None),
        (CANDLE_ROW["tickCount"], Decimal("0.5"), Decimal(7)),
    ]


@pytest.mark.parametrize(
    ("volume", "turnover"),
    [
        ("1.5", "null"),
        *product(['"x"', "0.1234567890123", "1" * 27], ["null", "2.5"]),
        ("1.5", "0.1234567890123"),
    ],
)
def test_a_volume_that_is_no_such_number_is_no_candle(volume: str, turnover: str) -> None:
    value = json.dumps(CANDLE_ROW | {"volume": ..., "turnover": ...}, default=lambda _: "?")
    value = value.replace('"volume": "?"', f'"volume": {volume}')
    value = value.replace('"turnover": "?"', f'"turnover": {turnover}')
    with pytest.raises(pl.exceptions.ComputeError):
        decode_candles([value.encode()], MINUTE)


def test_another_engines_candle() -> None:
    """Other engines may write not all fields, and may write them in another order."""
    optional = [field.json for field in CANDLE_FIELDS if not field.in_every_record]
    foreign = {name: CANDLE_ROW[name] for name in reversed(CANDLE_ROW) if name not in optional}
    value = json.dumps(foreign | {"more": [1]}).encode()
    row = decode_candles([value], MINUTE).row(0, named=True)
    own = decode_candles([json.dumps(CANDLE_ROW).encode()], MINUTE).row(0, named=True)
    same = {field.column: CANDLE_ROW[field.if_absent] for field in CANDLE_FIELDS if field.if_absent}
    assert same["tick_count"] == CANDLE_ROW["volume"]
    assert row == own | {"is_final": None, "revision": None} | same


def test_format_1_has_no_tick_count() -> None:
    candles = candle_frame([CANDLE_ROW], MINUTE)
    keys, (value,) = encode_candles(candles, 0, version=1)
    assert keys == encode_candles(candles, 0)[0]
    names = [field.json for field in CANDLE_FIELDS if field.since == 1]
    assert list(json.loads(value)) == names
    assert "tickCount" not in json.loads(value)
    decoded = decode_candles([value], MINUTE)
    assert decoded["tick_count"].to_list() == decoded["volume"].to_list() == [CANDLE_ROW["volume"]]


def test_a_tombstone_has_no_tick_count() -> None:
    """Its key is parsed as a candle without values."""
    [key] = encode_candle_keys(candle_frame([CANDLE_ROW], MINUTE))
    row = decode_candles([key], MINUTE).row(0, named=True)
    assert row["volume"] is row["tick_count"] is None
    assert row["end_us"] - row["start_us"] == 60_000_000


@pytest.mark.parametrize("value", [b"x", b"[]", b'"x"', b"{", b"{}{}", b"\xff"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_invalid_candles_raise(value: bytes, index: int) -> None:
    values = [json.dumps(CANDLE_ROW).encode()] * 2
    values.insert(index, value)
    with pytest.raises(pl.exceptions.ComputeError):
        decode_candles(values, MINUTE)
    with pytest.raises(pl.exceptions.ComputeError):
        decode_candles([value], MINUTE)


@pytest.mark.parametrize("blank", [b" ", b"\r", b"\n"])
def test_a_blank_value_is_not_a_candle(blank: bytes) -> None:
    """Callers rely on one candle per value, in order."""
    with pytest.raises(pl.exceptions.ComputeError):
        decode_candles([json.dumps(CANDLE_ROW).encode(), blank], MINUTE)


def test_the_prefix_of_a_schema_registry_is_ignored() -> None:
    bare = b'{"source":"S","symbol":"A","dateTime":"2025-03-20T14:31:00.000","open":1.5}'
    framed = b"\0\0\0\1\x86" + bare
    assert (
        decode_candles([framed, bare], MINUTE).rows() == decode_candles([bare, bare], MINUTE).rows()
    )
