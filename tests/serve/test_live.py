"""Candles in memory, and when memory is complete; and events."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR
from homma.serve.events import Events, Subscription
from homma.serve.live import EARLIEST, CandleRange, Live
from homma.serve.watermarks import SeriesWatermarks
from homma.topics.candle import Candle, read_candle
from homma.topics.latest import DeletedCandle
from tests.support.candle_records import RecordSequence, candle_value

SERIES = ("S", "A")
START = datetime(2025, 3, 20, tzinfo=UTC)


def at(minute: int) -> str:
    return (START + timedelta(minutes=minute)).isoformat()[:19] + ".000"


def empty(keep: int) -> Live:
    return Live(
        DEFAULT_CALENDAR, keep, SeriesWatermarks(timedelta(seconds=2), timedelta(seconds=5))
    )


def candle(minute: int, close: float = 1.5) -> Candle:
    parsed = read_candle(candle_value(at(minute), close=close))
    assert parsed is not None
    return parsed


def minutes(candles: Sequence[Candle] | None) -> list[int] | None:
    if candles is None:
        return None
    return [int((c.start - START).total_seconds()) // 60 for c in candles]


def newest(count: int, until: int | None = None) -> CandleRange:
    return CandleRange(
        SERIES, None, None if until is None else START + timedelta(minutes=until), count
    )


def since(minute: int, count: int = 100, until: int | None = None) -> CandleRange:
    span = newest(count, until)
    return CandleRange(SERIES, START + timedelta(minutes=minute), span.until, count)


def test_memory_is_not_authoritative_before_the_lake_was_read() -> None:
    live, records = empty(10), RecordSequence()
    live.add("m1", records.record(at(5)))
    live.mark_backfilled()
    assert live.authoritative("m1", newest(1)) is None
    assert minutes(live.merge_history("m1", newest(3), [candle(3), candle(4)])) == [3, 4, 5]
    live.mark_complete("m1", newest(3), live.merge_history("m1", newest(3), [candle(3), candle(4)]))
    assert minutes(live.authoritative("m1", newest(2))) == [4, 5]
    assert minutes(live.authoritative("m1", newest(3))) == [3, 4, 5]
    assert live.authoritative("m1", newest(4)) is None
    assert minutes(live.authoritative("m1", since(4))) == [4, 5]
    assert live.authoritative("m1", since(2)) is None


def test_a_series_without_older_candles_is_complete() -> None:
    live, records = empty(10), RecordSequence()
    live.add("m1", records.record(at(5)))
    live.mark_backfilled()
    live.mark_complete("m1", newest(9), live.merge_history("m1", newest(9), [candle(4)]))
    assert minutes(live.authoritative("m1", newest(9))) == [4, 5]
    assert minutes(live.authoritative("m1", since(-1_000))) == [4, 5]


def test_memory_is_not_authoritative_during_the_backfill() -> None:
    live, records = empty(10), RecordSequence()
    live.add("m1", records.record(at(5)))
    live.mark_complete("m1", newest(1), live.merge_history("m1", newest(1), []))
    assert live.authoritative("m1", newest(1)) is None


def test_a_range_before_the_newest_candle_does_not_complete_the_series() -> None:
    live, records = empty(10), RecordSequence()
    live.add("m1", records.record(at(5)))
    live.mark_backfilled()
    live.mark_complete(
        "m1", newest(2, until=4), live.merge_history("m1", newest(2, until=4), [candle(3)])
    )
    assert live.authoritative("m1", newest(1)) is None


def test_dropped_candles_are_no_longer_authoritative() -> None:
    live, records = empty(2), RecordSequence()
    live.add("m1", records.record(at(0)))
    live.mark_backfilled()
    live.mark_complete("m1", newest(9), live.merge_history("m1", newest(9), []))
    assert minutes(live.authoritative("m1", newest(9))) == [0]
    for minute in range(1, 100):
        live.add("m1", records.record(at(minute)))
    assert live.authoritative("m1", newest(50)) is None
    assert minutes(live.authoritative("m1", newest(2))) == [98, 99]
    # A late correction of a dropped candle does not hide the gap around it.
    live.add("m1", records.record(at(3), revision=2))
    assert live.authoritative("m1", since(3)) is None
    assert minutes(live.merge_history("m1", since(2, 3), [candle(2), candle(3), candle(4)])) == [
        2,
        3,
        4,
    ]


def test_memory_is_newer_than_the_lake() -> None:
    live, records = empty(10), RecordSequence()
    live.add("m1", records.record(at(5), close=9.0, revision=2))
    live.mark_backfilled()
    assert [c.close for c in live.merge_history("m1", newest(1), [candle(5, close=1.0)])] == [9.0]
    live.add("m1", records.record(at(6), close=9.0, revision=None, tickCount=1))
    # From another engine, which has lost ticks.
    assert [c.close for c in live.merge_history("m1", newest(1), [candle(6, close=1.0)])] == [1.0]


def test_a_deleted_candle_does_not_come_back_from_the_lake() -> None:
    live, records = empty(10), RecordSequence()
    live.mark_backfilled()
    live.add("m1", records.record(at(5)))
    assert isinstance(live.add("m1", records.record(at(5), is_deleted=True)), DeletedCandle)
    # A candle that was never in memory is identified by its key.
    assert live.add("m1", records.record(at(4), is_deleted=True)) is None
    assert live.merge_history("m1", newest(9), [candle(4), candle(5)]) == []
    live.add("m1", records.record(at(5)))
    assert minutes(live.merge_history("m1", newest(9), [candle(4), candle(5)])) == [5]


@settings(deadline=None)
@given(st.data())
def test_memory_and_lake_together_are_complete(data: st.DataObject) -> None:
    """Drops, late corrections and earlier reads do not change the merged candles."""
    live, records, expected = empty(3), RecordSequence(), dict[int, float]()
    live.mark_backfilled()
    lake: dict[int, float] = {}
    newest_minute = 0
    for close in range(data.draw(st.integers(1, 60))):
        action = data.draw(st.sampled_from(["new", "new", "late", "land", "read", "read since"]))
        if action in ("new", "late"):
            newest_minute += data.draw(st.integers(1, 3)) if action == "new" else 0
            minute = newest_minute if action == "new" else data.draw(st.integers(0, newest_minute))
            live.add("m1", records.record(at(minute), close=float(close + 1)))
            expected[minute] = float(close + 1)
        elif action == "land":
            lake = dict(expected)
        else:
            _compare(live, data, expected, lake, newest_minute, oldest="since" in action)
        # Kafka no longer has candles that memory dropped: the sink has landed them before.
        in_memory = {minutes([c])[0] for c in live.in_memory("m1", newest(1000))}  # type: ignore[index]
        lake |= {m: c for m, c in expected.items() if m not in in_memory}


def _compare(
    live: Live,
    data: st.DataObject,
    expected: dict[int, float],
    lake: dict[int, float],
    last: int,
    *,
    oldest: bool,
) -> None:
    count, edge = data.draw(st.integers(1, 8)), data.draw(st.integers(0, last + 2))
    until = data.draw(st.sampled_from([None, edge]))
    span = (
        since(data.draw(st.integers(0, last + 1)), count, until) if oldest else newest(count, until)
    )
    candles = live.authoritative("m1", span)
    if candles is None:
        older = [candle(m, c) for m, c in sorted(lake.items()) if _within(m, span)]
        assert live.is_contiguous("m1", span, span.limit(older))
        candles = live.merge_history("m1", span, span.limit(older))
        live.mark_complete("m1", span, candles)
    reference = span.limit([candle(m, c) for m, c in sorted(expected.items()) if _within(m, span)])
    assert [(c.start, c.close) for c in candles] == [(c.start, c.close) for c in reference]


def _within(minute: int, span: CandleRange) -> bool:
    start = START + timedelta(minutes=minute)
    return (span.since or EARLIEST) <= start and (span.until is None or start < span.until)


# --- events ------------------------------------------------------------------------------------


def closes(text: bytes) -> list[str]:
    return [part.split(b",")[0].decode().strip() for part in text.split(b'"close":')[1:]]


def test_a_slow_stream_gets_the_newest_version_of_each_candle() -> None:
    events = Events("run", 100)
    for close in range(5):
        events.add_change("m1", candle(1, close=float(close)))
        events.add_change("m1", candle(2, close=float(close)))
        events.add_change("m5", candle(1, close=99.0))
    assert closes(events.between(0, 15, Subscription("m1"))) == ["4.0", "4.0"]
    assert closes(events.between(0, 4, Subscription("m1"))) == ["0.0", "1.0"]
    assert events.between(15, 15, Subscription("m1")) == b""
    assert events.between(0, 15, Subscription("m1", frozenset({("S", "B")}))) == b""


def test_a_client_that_was_away_too_long_gets_a_reset() -> None:
    events = Events("run", 10)
    for close in range(100):
        events.add_change("m1", candle(1, close=float(close)))
    assert events.event_number("run-100") == 100
    assert events.event_number("run-99") == 99
    for unknown in ("run-1", "run-101", "run-", "run-x", "ran-100", "", "100", "run-٣"):
        assert events.event_number(unknown) is None
    assert b"event: reset" in events.between(3, 100, Subscription("m1"))


def test_events_are_sent_in_order_of_their_numbers() -> None:
    events = Events("run", 100)
    for minute in (1, 2, 1, 3, 2):
        events.add_change("m1", candle(minute))
    sent = events.between(0, 5, Subscription("m1")).split(b"id: run-")[1:]
    assert [int(part.split(b"\n")[0]) for part in sent] == [3, 4, 5]


def test_no_older_events_are_sent_with_a_reset() -> None:
    events = Events("run", 100)
    events.add_change("m1", candle(1))
    events.add_reset("m1")
    events.add_change("m1", candle(2, close=7.0))
    frames = events.between(0, 3, Subscription("m1", frozenset({SERIES})))
    assert frames.startswith(b"event: reset")
    assert closes(frames) == ["7.0"]
