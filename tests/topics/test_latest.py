"""The latest candles of a topic, for records read in any order."""

import math
from datetime import datetime
from itertools import permutations

from homma.core.fields import CANDLE_FIELDS
from homma.topics.candle import Candle, read_candle
from homma.topics.latest import CandleRecord, DeletedCandle, LatestCandles
from tests.support.candle_records import candle_value as value


def record(
    offset: int,
    value: bytes | None,
    key: bytes = b"k",
    partition: int = 0,
    timestamp_ms: int = 0,
) -> CandleRecord:
    return CandleRecord(partition, offset, timestamp_ms or offset, key, value)


def closes(latest: LatestCandles, source: str = "S", symbol: str = "A") -> list[float]:
    return [candle.close for candle in latest.candles((source, symbol))]


def test_the_newest_record_wins_in_any_order() -> None:
    records = [record(n, value(close=float(n))) for n in range(4)]
    for order in permutations(records):
        latest = LatestCandles(10)
        for added in order:
            latest.add(added)
        assert closes(latest) == [3.0]


def test_a_tombstone_deletes_the_candle_in_any_order() -> None:
    records = [record(0, value(close=1.0)), record(1, None)]
    for order in permutations(records):
        latest = LatestCandles(10)
        for added in order:
            latest.add(added)
        assert closes(latest) == []
        assert latest.series() == []


def test_a_candle_returns_after_its_tombstone_in_any_order() -> None:
    records = [record(0, value(close=1.0)), record(1, None), record(2, value(close=2.0))]
    for order in permutations(records):
        latest = LatestCandles(10)
        for added in order:
            latest.add(added)
        assert closes(latest) == [2.0]


def test_add_returns_the_changed_or_deleted_candle() -> None:
    latest = LatestCandles(10)
    first = latest.add(record(1, value()))
    assert isinstance(first, Candle)
    assert first.start == datetime.fromisoformat("2025-03-20T14:31Z")
    assert latest.add(record(0, value(close=9.0))) is None
    assert latest.add(record(2, None, key=b"another")) is None
    deleted = latest.add(record(3, None))
    assert deleted == DeletedCandle(first)
    assert latest.add(record(4, None)) is None


def test_a_record_without_revision_never_replaces_a_larger_one() -> None:
    full = value(volume=5, close=5.0)
    partial = value(volume=4, close=4.0, revision=...)
    for order in permutations([record(0, full, b"full"), record(1, partial, b"partial")]):
        latest = LatestCandles(10)
        for added in order:
            latest.add(added)
        assert closes(latest) == [5.0]
    latest.add(record(2, value(volume=6, close=6.0, revision=None), b"partial"))
    assert closes(latest) == [6.0]


def test_another_engines_key_is_the_same_candle() -> None:
    latest = LatestCandles(10)
    latest.add(record(0, value(close=1.0), b'{"source":"S"}'))
    latest.add(record(1, value(close=2.0), b'{"symbol":"A"}'))
    assert closes(latest) == [2.0]
    # A tombstone for the older record's key deletes nothing.
    latest.add(record(2, None, b'{"source":"S"}'))
    assert closes(latest) == [2.0]


def test_only_the_newest_candles_are_kept() -> None:
    latest = LatestCandles(3)
    for n in range(59):
        latest.add(record(n, value(f"2025-03-20T14:{n:02}:00.000", close=n + 1.0), b"%d" % n))
    assert closes(latest) == [57.0, 58.0, 59.0]


def test_one_symbol_only() -> None:
    latest = LatestCandles(3, "A/B")
    latest.add(record(0, value(symbol="A"), b"0"))
    latest.add(record(1, value(symbol="A/B").replace(b"/", b"\\/"), b"1"))
    latest.add(record(2, value(symbol="A", source="A/B"), b"2"))
    assert latest.series() == [("S", "A/B")]
    plain = LatestCandles(3, "BTC")
    plain.add(record(0, b"no candle", b"0"))
    plain.add(record(1, value(symbol="BTCUSD"), b"1"))
    plain.add(record(2, value(symbol="BTC"), b"2"))
    assert plain.series() == [("S", "BTC")]


def test_series_are_ordered_by_symbol_then_source() -> None:
    latest = LatestCandles(1)
    for n, (source, symbol) in enumerate([("T", "A"), ("S", "B"), ("S", "A")]):
        latest.add(record(n, value(source=source, symbol=symbol), b"%d" % n))
    assert latest.series() == [("S", "A"), ("T", "A"), ("S", "B")]


def test_a_series_in_two_partitions_is_detected() -> None:
    latest = LatestCandles(5)
    latest.add(record(0, value(), b"0"))
    assert not latest.is_split(("S", "A"))
    latest.add(record(0, value("2025-03-20T14:32:00.000"), b"1", partition=1, timestamp_ms=5))
    assert latest.is_split(("S", "A"))


def test_a_series_of_another_engine_may_be_in_all_partitions() -> None:
    latest = LatestCandles(5)
    latest.add(record(0, value(revision=None, isFinal=None), b"0"))
    second = value("2025-03-20T14:32:00.000", revision=None, isFinal=None)
    latest.add(record(0, second, b"1", partition=1, timestamp_ms=5))
    assert len(latest.candles(("S", "A"))) == 2
    assert not latest.is_split(("S", "A"))


def test_the_prefix_of_a_schema_registry_is_ignored() -> None:
    candle = read_candle(b"\0\0\0\1\x86" + value())
    assert candle == read_candle(value())
    assert candle is not None


def test_invalid_candles_are_counted() -> None:
    latest = LatestCandles(5)
    for bad in (b"", b"x", b"[]", b"7", b"{}", value(open="x"), value("yesterday")):
        assert read_candle(bad) is None
        latest.add(record(0, bad))
    assert latest.bad == 7


def test_a_candle_has_every_public_field() -> None:
    candle = read_candle(value(tickCount=2))
    assert candle is not None
    public = [field.column for field in CANDLE_FIELDS if field.public]
    assert [getattr(candle, name) for name in public[1:]] == list(candle.values)
    assert candle.values == (1.0, 2.0, 0.5, 1.5, 3, 2, None, True, 1)
    assert (candle.source, candle.symbol) == candle.series == ("S", "A")


def test_without_a_tick_count_it_is_the_volume() -> None:
    for absent in (..., None, "x", 2.5):
        candle = read_candle(value(tickCount=absent))
        assert candle is not None
        assert candle.tick_count == candle.volume == 3


def test_a_field_of_the_wrong_type_that_engines_may_omit_is_ignored() -> None:
    candle = read_candle(value(isFinal="yes", revision=True))
    assert candle is not None
    assert (candle.is_final, candle.revision) == (None, None)


def test_an_infinite_price_is_no_candle() -> None:
    for price in (math.inf, -math.inf, math.nan):
        assert read_candle(value(high=price)) is None


def test_names_are_stored_once() -> None:
    latest = LatestCandles(5)
    for n in range(3):
        latest.add(record(n, value(f"2025-03-20T14:3{n}:00.000"), b"%d" % n))
    assert len({id(candle.series) for candle in latest.candles(("S", "A"))}) == 1
