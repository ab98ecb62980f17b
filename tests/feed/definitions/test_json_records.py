"""JSON records by columns have the same values as Python's parser gives."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.feed.definitions.json_records import JsonReader

PATHS = ["a", "b.c", "b.d.0", "l.0", "l.1.x", "l.1.y.0", "n"]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.decimals(-1000, 1000, places=3).map(float),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5),
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "a": SCALARS,
        "b": st.fixed_dictionaries({}, optional={"c": SCALARS, "d": st.lists(SCALARS, max_size=2)}),
        "l": st.lists(
            st.one_of(
                SCALARS,
                st.fixed_dictionaries({"x": SCALARS}, optional={"y": st.lists(SCALARS)}),
            ),
            max_size=3,
        ),
        "n": SCALARS,
    },
)


def at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def same(actual: str | None, expected: Any) -> bool:
    if expected is None or actual is None:
        return actual is None and expected is None
    if isinstance(expected, bool):
        return actual == str(expected).lower()
    if isinstance(expected, int | float):
        return float(actual) == expected
    return bool(actual == expected)


def is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


@given(st.lists(RECORDS, max_size=6))
def test_values_at_paths(records: list[dict[str, Any]]) -> None:
    read = JsonReader(PATHS).read([json.dumps(record).encode() for record in records])
    assert read.malformed == []
    assert read.message.to_list() == list(range(len(records)))
    for path in PATHS:
        for actual, record in zip(read.values[path], records, strict=True):
            expected = at(record, path)
            # An object or array in place of a value is another text.
            assert not is_scalar(expected) or same(actual, expected), (path, record)


@given(st.lists(st.lists(RECORDS, max_size=3), max_size=5))
def test_records_within_messages(messages: list[list[dict[str, Any]]]) -> None:
    lines = [json.dumps({"c": {"s": n}, "data": m}).encode() for n, m in enumerate(messages)]
    read = JsonReader(["a", "b.c", "/c.s"], "data").read(lines)
    expected = [(n, record) for n, message in enumerate(messages) for record in message]
    assert read.message.to_list() == [n for n, _ in expected]
    assert read.values["/c.s"].to_list() == [str(n) for n, _ in expected]
    for path in ("a", "b.c"):
        for actual, (_, record) in zip(read.values[path], expected, strict=True):
            assert same(actual, at(record, path))


@pytest.mark.parametrize(
    ("message", "each", "paths", "records"),
    [
        pytest.param(b'{"p": 1}', "data", ["p"], [("1",)], id="a message without the path"),
        pytest.param(b'{"data": {"p": 1}}', "data", ["p"], [("1",)], id="one object"),
        pytest.param(b'{"data": []}', "data", ["p"], [], id="an empty array"),
        pytest.param(b'[{"p": 1}, {"p": 2}]', ".", ["p"], [("1",), ("2",)], id="an array"),
        pytest.param(b'{"p": 3}', ".", ["p"], [("3",)], id="no array"),
        pytest.param(b' [{"p": 3}]', ".", ["p"], [("3",)], id="a space before an array"),
        pytest.param(
            b'[7, [["1.5", 2]], "trade", "X/Y"]', "1", ["0", "/3"], [("1.5", "X/Y")], id="places"
        ),
        pytest.param(b'{"p": 0.12345678901234567890}', "", ["p"], [("0.12345678901234567890",)]),
        pytest.param(b'{"p": 1e-7}', "", ["p"], [("1e-7",)], id="an exponent"),
        pytest.param(b'{"p": "a\\"b"}', "", ["p"], [('a"b',)], id="an escape"),
        pytest.param(
            b'{"d": [{"p": "a\\\\b\\n", "n": 1.5}]}', "d", ["p", "n"], [("a\\b\n", "1.5")]
        ),
        pytest.param(b'{\n"p":\n1}', "", ["p"], [("1",)], id="newlines"),
        pytest.param(b'{"p": 1, "p": 2}', "", ["p"], [("1",)], id="the first of two values"),
    ],
)
def test_forms_of_messages(
    message: bytes, each: str, paths: list[str], records: list[tuple[str]]
) -> None:
    other = b'{"other": true}'
    read = JsonReader(paths, each, exact=["p"]).read([other, message])
    assert read.values.filter(read.message == 1).rows() == records


def test_malformed_messages_are_named_and_left_out() -> None:
    lines = [b'{"p": 1}', b"", b'{"p": ', b"5", b'{"p": 2}', b"\xff\xfe", b'{"p": 3} x', b"null"]
    read = JsonReader(["p"]).read(lines)
    assert read.malformed == [1, 2, 3, 5, 6, 7]
    assert read.values["p"].to_list() == ["1", "2"]
    assert read.message.to_list() == [0, 4]
