"""What is in memory, and when it is all there is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from homma.serve.clocks import Clocks
from homma.serve.events import Events, Subscription
from homma.serve.live import EVER, CandleRange, Live
from homma.topics.latest import Candle, DeletedCandle, read_candle
from tests.serve.serving import Counting, value

SERIES = ("S", "A")
START = datetime(2025, 3, 20, tzinfo=UTC)


def at(minute: int) -> str:
    return (START + timedelta(minutes=minute)).isoformat()[:19] + ".000"


def empty(keep: int) -> Live:
    return Live(keep, Clocks(timedelta(seconds=2), timedelta(seconds=5)))


def candle(minute: int, close: float = 1.5) -> Candle:
    found = read_candle(value(at(minute), close=close))
    assert found is not None
    return found


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


def test_nothing_is_sure_before_the_lake_was_asked() -> None:
    live, records = empty(10), Counting()
    live.add(0, records.record(at(5)))
    live.settle()
    assert live.authoritative(0, newest(1)) is None
    assert minutes(live.merge_history(0, newest(3), [candle(3), candle(4)])) == [3, 4, 5]
    live.mark_complete(0, newest(3), live.merge_history(0, newest(3), [candle(3), candle(4)]))
    assert minutes(live.authoritative(0, newest(2))) == [4, 5]
    assert minutes(live.authoritative(0, newest(3))) == [3, 4, 5]
    assert live.authoritative(0, newest(4)) is None
    assert minutes(live.authoritative(0, since(4))) == [4, 5]
    assert live.authoritative(0, since(2)) is None


def test_a_series_that_has_no_more_is_whole() -> None:
    live, records = empty(10), Counting()
    live.add(0, records.record(at(5)))
    live.settle()
    live.mark_complete(0, newest(9), live.merge_history(0, newest(9), [candle(4)]))
    assert minutes(live.authoritative(0, newest(9))) == [4, 5]
    assert minutes(live.authoritative(0, since(-1_000))) == [4, 5]


def test_while_topics_are_read_backwards_nothing_is_sure() -> None:
    live, records = empty(10), Counting()
    live.add(0, records.record(at(5)))
    live.mark_complete(0, newest(1), live.merge_history(0, newest(1), []))
    assert live.authoritative(0, newest(1)) is None


def test_a_range_that_ends_before_the_newest_says_nothing_about_the_newest() -> None:
    live, records = empty(10), Counting()
    live.add(0, records.record(at(5)))
    live.settle()
    live.mark_complete(
        0, newest(2, until=4), live.merge_history(0, newest(2, until=4), [candle(3)])
    )
    assert live.authoritative(0, newest(1)) is None


def test_what_is_let_go_is_not_sure_any_more() -> None:
    live, records = empty(2), Counting()
    live.add(0, records.record(at(0)))
    live.settle()
    live.mark_complete(0, newest(9), live.merge_history(0, newest(9), []))
    assert minutes(live.authoritative(0, newest(9))) == [0]
    for minute in range(1, 100):
        live.add(0, records.record(at(minute)))
    assert live.authoritative(0, newest(50)) is None
    assert minutes(live.authoritative(0, newest(2))) == [98, 99]
    # A late correction of one that was let go makes no hole look whole.
    live.add(0, records.record(at(3), revision=2))
    assert live.authoritative(0, since(3)) is None
    assert minutes(live.merge_history(0, since(2, 3), [candle(2), candle(3), candle(4)])) == [
        2,
        3,
        4,
    ]


def test_memory_is_newer_than_the_lake() -> None:
    live, records = empty(10), Counting()
    live.add(0, records.record(at(5), close=9.0, revision=2))
    live.settle()
    assert [c.close for c in live.merge_history(0, newest(1), [candle(5, close=1.0)])] == [9.0]
    live.add(0, records.record(at(6), close=9.0, revision=None, volume=1))
    # Another engine's that has lost ticks.
    assert [c.close for c in live.merge_history(0, newest(1), [candle(6, close=1.0)])] == [1.0]


def test_what_is_gone_does_not_come_back_from_the_lake() -> None:
    live, records = empty(10), Counting()
    live.settle()
    live.add(0, records.record(at(5)))
    assert isinstance(live.add(0, records.record(at(5), gone=True)), DeletedCandle)
    # One that was never here: its key tells.
    assert live.add(0, records.record(at(4), gone=True)) is None
    assert live.merge_history(0, newest(9), [candle(4), candle(5)]) == []
    live.add(0, records.record(at(5)))
    assert minutes(live.merge_history(0, newest(9), [candle(4), candle(5)])) == [5]


@settings(deadline=None)
@given(st.data())
def test_memory_and_lake_together_are_all_there_is(data: st.DataObject) -> None:
    """Whatever was let go, corrected late, or asked before: as if all were in one place."""
    live, records, truth = empty(3), Counting(), dict[int, float]()
    live.settle()
    lake: dict[int, float] = {}
    newest_minute = 0
    for close in range(data.draw(st.integers(1, 60))):
        action = data.draw(st.sampled_from(["new", "new", "late", "land", "ask", "ask since"]))
        if action in ("new", "late"):
            newest_minute += data.draw(st.integers(1, 3)) if action == "new" else 0
            minute = newest_minute if action == "new" else data.draw(st.integers(0, newest_minute))
            live.add(0, records.record(at(minute), close=float(close + 1)))
            truth[minute] = float(close + 1)
        elif action == "land":
            lake = dict(truth)
        else:
            _compare(live, data, truth, lake, newest_minute, oldest="since" in action)
        # Kafka has lost what memory let go: the sink has landed it long before.
        held = {minutes([c])[0] for c in live.held(0, newest(1000))}  # type: ignore[index]
        lake |= {m: c for m, c in truth.items() if m not in held}


def _compare(
    live: Live,
    data: st.DataObject,
    truth: dict[int, float],
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
    found = live.authoritative(0, span)
    if found is None:
        older = [candle(m, c) for m, c in sorted(lake.items()) if _within(m, span)]
        assert live.is_contiguous(0, span, span.of(older))
        found = live.merge_history(0, span, span.of(older))
        live.mark_complete(0, span, found)
    wanted = span.of([candle(m, c) for m, c in sorted(truth.items()) if _within(m, span)])
    assert [(c.start, c.close) for c in found] == [(c.start, c.close) for c in wanted]


def _within(minute: int, span: CandleRange) -> bool:
    start = START + timedelta(minutes=minute)
    return (span.since or EVER) <= start and (span.until is None or start < span.until)


# --- events ------------------------------------------------------------------------------------


def closes(text: bytes) -> list[str]:
    return [part.split(b",")[0].decode().strip() for part in text.split(b'"close":')[1:]]


def test_a_stream_that_lags_gets_the_newest_of_each_candle() -> None:
    events = Events("run", 100)
    for close in range(5):
        events.changed(0, candle(1, close=float(close)))
        events.changed(0, candle(2, close=float(close)))
        events.changed(1, candle(1, close=99.0))
    assert closes(events.between(0, 15, Subscription(0))) == ["4.0", "4.0"]
    assert closes(events.between(0, 4, Subscription(0))) == ["0.0", "1.0"]
    assert events.between(15, 15, Subscription(0)) == b""
    assert events.between(0, 15, Subscription(0, frozenset({("S", "B")}))) == b""


def test_who_was_away_for_too_long_loads_anew() -> None:
    events = Events("run", 10)
    for close in range(100):
        events.changed(0, candle(1, close=float(close)))
    assert events.number("run-100") == 100
    assert events.number("run-99") == 99
    for stranger in ("run-1", "run-101", "run-", "run-x", "ran-100", "", "100", "run-٣"):
        assert events.number(stranger) is None
    assert b"event: reset" in events.between(3, 100, Subscription(0))


def test_numbers_grow_in_the_order_in_which_they_are_sent() -> None:
    events = Events("run", 100)
    for minute in (1, 2, 1, 3, 2):
        events.changed(0, candle(minute))
    sent = events.between(0, 5, Subscription(0)).split(b"id: run-")[1:]
    assert [int(part.split(b"\n")[0]) for part in sent] == [3, 4, 5]


def test_after_a_reset_nothing_older_is_told() -> None:
    events = Events("run", 100)
    events.changed(0, candle(1))
    events.replaced(0)
    events.changed(0, candle(2, close=7.0))
    told = events.between(0, 3, Subscription(0, frozenset({SERIES})))
    assert told.startswith(b"event: reset")
    assert closes(told) == ["7.0"]
