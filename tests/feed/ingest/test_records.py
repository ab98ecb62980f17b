"""Foreign records become ticks and dead letters, and each of them has one fate."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from homma.core.tick import TickRules
from homma.errors import FeedError
from homma.feed.definitions.tick_reader import TickReader
from homma.feed.ingest.records import RecordParser, check_partitions
from homma.partitions.outgoing import OutgoingBatch
from homma.topics.contract import REJECTED_BYTES, TICK_BYTES
from tests.support.effort import effort
from tests.support.ingesting import EXCHANGE, definition, messages, trade

NOW_US = 1_800_000_000_000_000
RULES = TickRules(max_future_us=300_000_000)
#: Messages with several trades each.
SEVERAL = EXCHANGE.replace('format = "json"', 'format = "json"\neach = "trades"')


def message(value: bytes | None, offset: int, partition: int = 0, **more: Any) -> Message:
    return Message(
        topic="foreign",
        partition=partition,
        offset=offset,
        value=value,
        timestamp=(1, 1_000 + offset),
        **more,
    )


def parse(
    batches: dict[int, Sequence[bytes | None]], text: str = EXCHANGE, first: int = 0
) -> dict[int, OutgoingBatch]:
    parser = RecordParser(TickReader(definition(text)), RULES)
    return parser.parse(
        {
            number: [message(value, offset, number) for offset, value in enumerate(values, first)]
            for number, values in batches.items()
        },
        NOW_US,
    )


def ticks(batch: OutgoingBatch) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for value in batch.forwarded.values]


def errors(batch: OutgoingBatch) -> list[str]:
    return [str(dict(headers)["error"]) for headers in batch.dead.headers]


def test_a_trade_becomes_a_tick_keyed_by_its_series() -> None:
    [batch] = parse({3: [trade(7)]}, first=5).values()
    assert batch.forwarded.keys == [b"EXCHANGE:BTCUSD"]
    assert ticks(batch) == [
        {
            "source": "EXCHANGE",
            "symbol": "BTCUSD",
            "price": 107.25,
            "size": 7.5,
            "number": 5 * 1024 + 3,
            "dateTime": "2025-03-20T12:00:00.007",
        }
    ]
    assert batch.end == 6
    assert batch.event_times_us == [1_742_472_000_007_000]


def test_each_record_has_one_fate() -> None:
    [batch] = parse({0: [trade(1), b'{"kind":"heartbeat"}', b"{", trade(2, p="high")]}).values()
    assert (batch.forwarded.rows, batch.left_out, batch.dead.rows) == ([0], [1], [2, 3])
    assert batch.not_ticks == [1]
    assert errors(batch) == [
        "the record is malformed",
        "price: p has 'high', which is not a finite number",
    ]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "malformed"),
        (b"", "malformed"),
        (b"[1]", "is empty"),
        (trade(1, p=None), "price: p is empty"),
        (trade(1, p="-1"), "price: required in a trade"),
        (trade(1, pair="X" * 65), "symbol: required"),
        (trade(1, t="soon"), "dateTime: t has 'soon', which is not a date"),
        (trade(1, t=NOW_US + 400_000_000), "dateTime: too far ahead"),
    ],
)
def test_a_record_that_should_be_a_tick_is_a_dead_letter(value: bytes | None, error: str) -> None:
    where = EXCHANGE.replace("""where = "kind = 'trade'"\n""", "")
    [batch] = parse({0: [value]}, where).values()
    [text] = errors(batch)
    assert error in text
    assert batch.dead.values == [value]
    assert dict(batch.dead.headers[0]) | {"error": ""} == {
        "error": "",
        "topic": "foreign",
        "partition": "0",
        "offset": "0",
    }


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b"null", b"5", b'"x"', b" true "])
def test_what_is_no_message_is_a_dead_letter_in_any_company(value: bytes) -> None:
    for others in ([], [trade(1)], [b"{"], [trade(1), b"[]"]):
        [batch] = parse({0: [value, *others]}).values()
        assert 0 in batch.dead.rows
        assert 0 not in batch.left_out


def test_records_of_one_message_have_numbers_of_their_own() -> None:
    """Two trades of one series with the same date are not one."""
    same = json.loads(trade(1))
    value = json.dumps({"trades": [same, same, {"kind": "other"}, same | {"p": "x"}]}).encode()
    [batch] = parse({1: [value, b'{"trades":[]}']}, SEVERAL, first=2).values()
    first = (2 * 1024 + 1) * 65_536
    assert [tick["number"] for tick in ticks(batch)] == [first, first + 1]
    assert batch.forwarded.rows == [0, 0]
    assert batch.not_ticks == [0]
    assert batch.left_out == [1]
    # The message is a dead letter as well, because of its fourth record.
    assert batch.dead.rows == [0]
    assert "price: p has 'x'" in errors(batch)[0]


def test_more_records_in_a_message_than_numbers_are_an_error() -> None:
    one = json.loads(trade(1))
    value = json.dumps({"trades": [one] * 65_537}).encode()
    [batch] = parse({0: [value]}, SEVERAL).values()
    assert len(batch.forwarded.rows) == 65_536
    assert errors(batch) == ["the message has more than 65,536 records, which homma cannot number"]


def test_a_number_of_the_record_wins() -> None:
    numbered = EXCHANGE + 'number = { field = "id" }\n'
    [batch] = parse({0: [trade(1, id=99), trade(2)]}, numbered).values()
    assert [tick["number"] for tick in ticks(batch)] == [99]
    assert errors(batch) == ["number: id is empty"]


def test_too_many_partitions_need_a_number() -> None:
    check_partitions("foreign", 1024)
    with pytest.raises(FeedError, match="foreign has 1025 partitions"):
        check_partitions("foreign", 1025)


def test_a_dead_letter_fits_into_its_topic() -> None:
    value = b"x" * (2 * TICK_BYTES)
    parser = RecordParser(TickReader(definition()), RULES)
    large = message(value, 0, key=b"k" * 100_000, headers=[("trace", b"t" * 100_000)])
    [batch] = parser.parse({0: [large]}, NOW_US).values()
    [kept], [key], [headers] = batch.dead.values, batch.dead.keys, batch.dead.headers
    assert kept == value[:TICK_BYTES]
    assert key is None
    assert dict(headers)["valueBytes"] == str(len(value))
    assert len(kept) + sum(len(name) + len(text or "") for name, text in headers) < REJECTED_BYTES


@effort()
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 3))
def test_each_of_random_records_has_one_fate(seed: int, count: int, partitions: int) -> None:
    values = messages(seed, count)
    batches = parse({number: values[number::partitions] for number in range(partitions)})
    for batch in batches.values():
        fates = [*batch.forwarded.rows, *batch.dead.rows, *batch.left_out]
        assert sorted(fates) == [*range(len(batch))]
        assert len(batch.event_times_us) == len(batch)
        for split in range(len(batch) + 1):
            parts = (batch.forwarded.part(0, split), batch.forwarded.part(split, len(batch)))
            assert [*parts[0].keys, *parts[1].keys] == [*batch.forwarded.keys]
