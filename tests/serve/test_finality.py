"""Which candles are over, where their engine does not say."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.interval import BY_CODE, INTERVALS
from homma.serve.clocks import Clocks
from homma.topics.latest import newest_tick
from tests import oracle
from tests.serve.serving import Counting, candles, made, running, value

A, B = ("S", "A"), ("S", "B")
WATERMARK_DELAY, IDLE_TIMEOUT = timedelta(seconds=2), timedelta(seconds=5)
PLACES = {code: INTERVALS.index(interval) for code, interval in BY_CODE.items()}


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2025-03-20T{text}").replace(tzinfo=UTC)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks(WATERMARK_DELAY, IDLE_TIMEOUT)


def test_a_series_is_over_up_to_its_newest_tick_less_the_lateness(clocks: Clocks) -> None:
    assert clocks.open_from(0, A) is None
    clocks.saw(A, at("14:35:01.999999"), 1_000)
    assert clocks.open_from(0, A) == at("14:34")
    clocks.saw(A, at("14:35:02"), 1_000)
    assert clocks.open_from(0, A) == at("14:35")
    # A corrected candle does not take the clock back.
    clocks.saw(A, at("14:20:00"), 2_000)
    assert clocks.open_from(0, A) == at("14:35")
    clocks.clear()
    assert clocks.open_from(0, A) is None


def test_a_quiet_series_goes_on_with_what_comes_of_others(clocks: Clocks) -> None:
    clocks.saw(A, at("14:34:58"), 100_000)
    clocks.saw(B, at("09:00:00"), 104_999)
    assert clocks.open_from(0, A) == at("14:34")
    clocks.saw(B, at("09:00:01"), 105_000)
    assert clocks.open_from(0, A) == at("14:35")
    assert clocks.open_from(0, B) == at("08:59")


def test_silence_counts_once_it_is_no_pause_between_checkpoints(clocks: Clocks) -> None:
    clocks.saw(A, at("14:34:58"), 100_000)
    clocks.silent(timedelta(seconds=9))
    assert clocks.open_from(0, A) == at("14:34")
    clocks.silent(timedelta(seconds=10))
    assert clocks.open_from(0, A) == at("14:35")
    clocks.saw(A, at("14:34:59"), 110_000)
    assert clocks.open_from(0, A) == at("14:34")


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),
    st.integers(0, 10_000_000),
    st.sampled_from(INTERVALS),
)
def test_what_starts_earlier_has_ended(tick: datetime, quiet_ms: int, interval: Any) -> None:
    clocks = Clocks(WATERMARK_DELAY, IDLE_TIMEOUT)
    clocks.saw(A, tick.replace(tzinfo=UTC), 1_000)
    clocks.saw(B, tick.replace(tzinfo=UTC), 1_000 + quiet_ms)
    found = clocks.open_from(INTERVALS.index(interval), A)
    quiet = timedelta(milliseconds=quiet_ms)
    reached = tick - WATERMARK_DELAY + (quiet if quiet >= IDLE_TIMEOUT else timedelta())
    assert found == oracle.start_of(interval.name, reached).replace(tzinfo=UTC)


def test_a_record_tells_its_newest_tick() -> None:
    assert newest_tick(value(closeDateTime="2025-03-20T14:31:07.123456")) == at("14:31:07.123456")
    assert newest_tick(b"\0\0\0\0\1" + value(closeDateTime="2025-03-20T14:31:07Z")) == at(
        "14:31:07"
    )
    for none in (None, "soon", 5, "0001-01-01T00:00:00", "9999-12-31T23:59:59-01:00"):
        assert newest_tick(value(closeDateTime=none)) is None
    for none_at_all in (value(), b"[]", b"{"):
        assert newest_tick(none_at_all) is None


def test_a_quiet_market_closes_while_kafka_answers() -> None:
    now_s = [100.0]
    server, records = made(now_s=lambda: now_s[0]), Counting()
    bare: dict[str, Any] = {"isFinal": None, "revision": None}
    minute = records.record("2025-03-20T14:34:00.000", closeDateTime="2025-03-20T14:34:55", **bare)
    month = records.record("2025-03-01T00:00:00.000", closeDateTime="2025-03-20T14:34:55", **bare)
    asyncio.run(server.market.arrived([(0, minute), (PLACES["M1"], month)]))
    asyncio.run(server.market.on_backfilled(long=False))
    with running(server) as address:
        assert candles(address, final="true") == []
        now_s[0] += 11.0
        # Nobody has asked Kafka yet: there may be more.
        assert candles(address, final="true") == []
        asyncio.run(server.market.on_heartbeat())
        assert candles(address, final="true") == []
        now_s[0] += 1.0
        asyncio.run(server.market.on_heartbeat())
        [over] = candles(address, final="true")
        assert over["isFinal"] is None
        assert candles(address, interval="M1", final="true") == []
