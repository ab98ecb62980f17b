"""Decimals are taken from a record's own text, whatever else the record has."""

from decimal import Decimal

import pytest

from homma.core.tick import TickRules, check
from homma.topics.codec import decode_ticks

START = '"source":"S","symbol":"A","number":1,"dateTime":"2025-03-20T14:31:28","price":1.5'
EXACT = "123456789012345678.123456789012"


def sizes(*records: str) -> list[Decimal | str | None]:
    """The sizes of records, or their errors."""
    raw = decode_ticks([f"{{{record}}}".encode() for record in records])
    frame = raw.with_columns(timestamp_us=1 << 60)
    rows = check(frame, TickRules(0)).select("size", "error").rows()
    return [size if error is None else error for size, error in rows]


@pytest.mark.parametrize(
    "record",
    [
        f'{START},"size":{EXACT}',
        f'"size":{EXACT},{START}',
        f'"size" : \t{EXACT} ,{START}',
        f'{START},"size":"{EXACT}"',
        f'{START},"size":{EXACT},"size":2',
        f'{START},"size":{EXACT},"size":null',
        f'{START},"\\u0073ize":{EXACT}',
        f'{START},"size":"{EXACT[:3]}\\u0034{EXACT[4:]}"',
        f'{START},"more":{{"size":7}},"size":{EXACT}',
        f'{START},"more":[{{"size":7}}],"size":{EXACT}',
        f'{START},"note":"\\"size\\":7","size":{EXACT}',
        f'{START},"note":"size","size":{EXACT}',
        f'{START},"note":"{{","size":{EXACT}',
        f'{START},"resize":7,"size":{EXACT}',
    ],
)
def test_a_size_is_exact(record: str) -> None:
    exact = Decimal(EXACT)
    assert sizes(record) == [exact]
    # A batch with other records, some without a size.
    others = [f'{START},"size":0.5', START, f'{START},"size":null', f'{START},"size":1e-7']
    expected = [Decimal("0.5"), None, None, Decimal("1e-7")]
    assert sizes(*others, record, *others) == [*expected, exact, *expected]


@pytest.mark.parametrize(
    "size",
    ['"1.5 "', '"1.5', "[1]", "[]", '{"size":1}', "true", '"x"', '""', "-1", "0.1234567890123"],
)
def test_another_value_is_a_dead_letter(size: str) -> None:
    good = f'{START},"size":0.5'
    result = sizes(good, f'{START},"size":{size}', f'{START},"size":{size},"size":2', good)
    assert [value for value in result if isinstance(value, Decimal)] == [Decimal("0.5")] * 2
    assert all(isinstance(error, str) for error in result[1:3])


def test_a_record_that_is_nested_too_deeply_is_a_dead_letter() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    [error] = sizes(f'{START},"size":0.5,"more":{deep}')
    assert isinstance(error, str)
