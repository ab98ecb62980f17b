"""Which candles are final if their engine does not record it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.interval import BY_CODE, MINUTE, Interval
from homma.serve.watermarks import SeriesWatermarks
from homma.topics.candle import newest_tick_time
from tests.support import oracle
from tests.support.candle_records import RecordSequence, candle_value
from tests.support.serving import get_candles, make_server, running

A, B = ("S", "A"), ("S", "B")
WATERMARK_DELAY, IDLE_TIMEOUT = timedelta(seconds=2), timedelta(seconds=5)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2025-03-20T{text}").replace(tzinfo=UTC)


@pytest.fixture
def watermarks() -> SeriesWatermarks:
    return SeriesWatermarks(WATERMARK_DELAY, IDLE_TIMEOUT)


def test_the_watermark_is_the_newest_tick_minus_the_watermark_delay(
    watermarks: SeriesWatermarks,
) -> None:
    assert watermarks.open_from(MINUTE, A) is None
    watermarks.observe(A, at("14:35:01.999999"), 1_000)
    assert watermarks.open_from(MINUTE, A) == at("14:34")
    watermarks.observe(A, at("14:35:02"), 1_000)
    assert watermarks.open_from(MINUTE, A) == at("14:35")
    # A corrected candle does not move the watermark back.
    watermarks.observe(A, at("14:20:00"), 2_000)
    assert watermarks.open_from(MINUTE, A) == at("14:35")
    watermarks.clear()
    assert watermarks.open_from(MINUTE, A) is None


def test_records_of_other_series_advance_an_idle_series(watermarks: SeriesWatermarks) -> None:
    watermarks.observe(A, at("14:34:58"), 100_000)
    watermarks.observe(B, at("09:00:00"), 104_999)
    assert watermarks.open_from(MINUTE, A) == at("14:34")
    watermarks.observe(B, at("09:00:01"), 105_000)
    assert watermarks.open_from(MINUTE, A) == at("14:35")
    assert watermarks.open_from(MINUTE, B) == at("08:59")


def test_only_silence_beyond_the_idle_timeout_counts(watermarks: SeriesWatermarks) -> None:
    watermarks.observe(A, at("14:34:58"), 100_000)
    watermarks.advance_idle(timedelta(seconds=9))
    assert watermarks.open_from(MINUTE, A) == at("14:34")
    watermarks.advance_idle(timedelta(seconds=10))
    assert watermarks.open_from(MINUTE, A) == at("14:35")
    watermarks.observe(A, at("14:34:59"), 110_000)
    assert watermarks.open_from(MINUTE, A) == at("14:34")


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),
    st.integers(0, 10_000_000),
    st.sampled_from(list(BY_CODE.values())),
)
def test_final_candles_end_before_the_watermark(
    tick: datetime, idle_ms: int, interval: Interval
) -> None:
    watermarks = SeriesWatermarks(WATERMARK_DELAY, IDLE_TIMEOUT)
    watermarks.observe(A, tick.replace(tzinfo=UTC), 1_000)
    watermarks.observe(B, tick.replace(tzinfo=UTC), 1_000 + idle_ms)
    open_from = watermarks.open_from(interval, A)
    idle = timedelta(milliseconds=idle_ms)
    watermark = tick - WATERMARK_DELAY + (idle if idle >= IDLE_TIMEOUT else timedelta())
    assert open_from == oracle.start_of(interval.name, watermark).replace(tzinfo=UTC)


def test_the_newest_tick_of_a_record() -> None:
    assert newest_tick_time(candle_value(closeDateTime="2025-03-20T14:31:07.123456")) == at(
        "14:31:07.123456"
    )
    assert newest_tick_time(
        b"\0\0\0\0\1" + candle_value(closeDateTime="2025-03-20T14:31:07Z")
    ) == at("14:31:07")
    for invalid in (None, "soon", 5, "0001-01-01T00:00:00", "9999-12-31T23:59:59-01:00"):
        assert newest_tick_time(candle_value(closeDateTime=invalid)) is None
    for missing in (candle_value(), b"[]", b"{"):
        assert newest_tick_time(missing) is None


def test_candles_of_an_idle_market_become_final_while_kafka_answers() -> None:
    now_s = [100.0]
    server, records = make_server(now_s=lambda: now_s[0]), RecordSequence()
    unrecorded: dict[str, Any] = {"isFinal": None, "revision": None}
    minute = records.record(
        "2025-03-20T14:34:00.000", closeDateTime="2025-03-20T14:34:55", **unrecorded
    )
    month = records.record(
        "2025-03-01T00:00:00.000", closeDateTime="2025-03-20T14:34:55", **unrecorded
    )
    asyncio.run(server.market.add_live([("m1", minute), ("M1", month)]))
    asyncio.run(server.market.on_backfilled(reset=False))
    with running(server) as address:
        assert get_candles(address, final="true") == []
        now_s[0] += 11.0
        # Kafka has not been read since: it may have more records.
        assert get_candles(address, final="true") == []
        asyncio.run(server.market.on_heartbeat())
        assert get_candles(address, final="true") == []
        now_s[0] += 1.0
        asyncio.run(server.market.on_heartbeat())
        [final] = get_candles(address, final="true")
        assert final["isFinal"] is None
        assert get_candles(address, interval="M1", final="true") == []
