"""The engine with a real broker, one situation per test."""

import json

import pytest

from homma.core.calendar import DEFAULT_CODES
from homma.formats import CURRENT
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick, until

DAY = "2025-03-20T"


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap)


def test_ticks_become_candles_of_all_intervals(pipeline: Pipeline) -> None:
    ticks = [
        tick(DAY + "14:30:00.000", 10, 1),
        tick(DAY + "14:30:59.999", 12, 3),
        tick(DAY + "14:30:30.000", 8, 2),
        tick(DAY + "14:31:00.000", 11, 4),
    ]
    pipeline.send(*ticks)
    pipeline.work_off()
    candles = pipeline.candles()
    same_candles(candles, batch_candles(ticks))
    assert set(candles["interval"]) == set(DEFAULT_CODES)


def test_a_candle_record_follows_the_contract(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:31:28.000", 627.045, 11530579268, "BNBUSD", "SOURCE_é"))
    pipeline.work_off()
    [record] = pipeline.records(pipeline.topics.candles["m1"])
    assert record.key() == (
        '{"source":"SOURCE_é","symbol":"BNBUSD","dateTime":"2025-03-20T14:31:00.000"}'.encode()
    )
    value = json.loads(record.value() or b"")
    update = value.pop("updateDateTime")
    assert len(update) == len("2025-03-20T14:31:28.000000")
    assert value == {
        "source": "SOURCE_é",
        "symbol": "BNBUSD",
        "dateTime": "2025-03-20T14:31:00.000",
        "open": 627.045,
        "high": 627.045,
        "low": 627.045,
        "close": 627.045,
        "volume": 1,
        "tickCount": 1,
        "openDateTime": "2025-03-20T14:31:28.000000",
        "openNumber": 11530579268,
        "closeDateTime": "2025-03-20T14:31:28.000000",
        "closeNumber": 11530579268,
        "isFinal": False,
        "revision": 0,
    }
    headers = dict(record.headers() or [])
    assert headers["ticksBefore"] == b"1"
    assert headers["format"] == str(CURRENT).encode()
    assert len(headers["run"] or b"") == 12


def test_an_invalid_record_becomes_a_dead_letter_with_its_value_unchanged(
    pipeline: Pipeline,
) -> None:
    invalid = [b"not json", json.dumps(tick(DAY + "14:31:60")).encode(), b"", b'{"mid":1']
    pipeline.send(tick(DAY + "14:31:00"), *invalid, tick(DAY + "14:31:01", number=2))
    pipeline.work_off()
    dead = pipeline.records(pipeline.topics.dead)
    assert [m.value() or b"" for m in dead] == invalid
    headers = [dict(m.headers() or []) for m in dead]
    assert [h["offset"] for h in headers] == [b"1", b"2", b"3", b"4"]
    assert all(h["topic"] == pipeline.topics.ticks.encode() for h in headers)
    errors = [str(h["error"]) for h in headers]
    assert "dateTime: required" in errors.pop(1)
    assert all("not a JSON object in UTF-8" in error for error in errors)
    assert pipeline.candle("m1", DAY + "14:31:00")["volume"] == 2
    assert pipeline.counted("homma_ticks_dead") == 4
    assert pipeline.counted("homma_ticks_read") == 6


def test_the_longest_record_fits_into_the_dead_topic(pipeline: Pipeline) -> None:
    longest = b"x" * 1_048_400
    pipeline.send(longest, tick(DAY + "14:31:00"))
    pipeline.work_off()
    [dead] = pipeline.records(pipeline.topics.dead)
    assert dead.value() == longest


def test_a_dropped_tick_goes_to_the_late_topic_unchanged(pipeline: Pipeline) -> None:
    dropped = tick(DAY + "14:19:59.999", number=2, unknown="kept")
    in_time = tick(DAY + "14:20:00.000", number=3)
    pipeline.send(tick(DAY + "14:30:00"), dropped, in_time)
    pipeline.work_off()
    [record] = pipeline.records(pipeline.topics.late)
    assert json.loads(record.value() or b"") == dropped
    assert dict(record.headers() or [])["offset"] == b"1"
    assert pipeline.candle("D1", DAY + "00:00:00")["volume"] == 2


def test_a_late_tick_corrects_a_final_candle(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:00", 10, 1), tick(DAY + "14:31:05", 11, 2))
    pipeline.work_off()
    assert pipeline.candle("m1", DAY + "14:30:00")["revision"] == 1
    pipeline.send(tick(DAY + "14:30:30", 15, 1))
    pipeline.work_off()
    corrected = pipeline.candle("m1", DAY + "14:30:00")
    assert (corrected["revision"], corrected["is_final"]) == (2, True)
    assert (corrected["high"], corrected["close"], corrected["volume"]) == (15, 15, 2)
    assert pipeline.candle("h1", DAY + "14:00:00")["volume"] == 3


def test_duplicates_count_once_even_after_a_restart(pipeline: Pipeline) -> None:
    first, second = tick(DAY + "14:30:00", 10, 1), tick(DAY + "14:30:01", 11, 2)
    pipeline.send(first, second, first)
    pipeline.work_off()
    pipeline.send(second, {**first, "mid": 99.0})
    pipeline.work_off()
    candle = pipeline.candle("m1", DAY + "14:30:00")
    assert (candle["volume"], candle["high"]) == (2, 11)
    assert pipeline.counted("homma_ticks_duplicate") == 3


def test_the_clock_finalizes_the_candles_of_an_idle_series(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:58"))
    with pipeline.running():
        until(lambda: bool(pipeline.candles()["is_final"].any()))
    assert pipeline.candle("m1", DAY + "14:30:00")["revision"] == 1
    assert pipeline.candle("h1", DAY + "14:00:00")["is_final"] is False


def test_with_until_end_the_clock_does_not_run(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:58"))
    pipeline.work_off()
    assert not pipeline.candles()["is_final"].any()


def test_without_new_ticks_nothing_is_written(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:58"))
    pipeline.work_off()
    before = len(pipeline.records(pipeline.topics.candles["m1"]))
    pipeline.work_off()
    assert len(pipeline.records(pipeline.topics.candles["m1"])) == before


def test_partitions_are_processed_in_parallel(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=3)
    ticks = [
        tick(f"{DAY}14:{minute:02}:00", float(minute + n), minute, f"SYM{n}")
        for minute in range(30, 40)
        for n in range(12)
    ]
    pipeline.send(*ticks)
    pipeline.work_off()
    same_candles(pipeline.candles(), batch_candles(ticks))
    partitions = {m.partition() for m in pipeline.records(pipeline.topics.candles["m1"])}
    assert (
        partitions == {m.partition() for m in pipeline.records(pipeline.topics.ticks)} == {0, 1, 2}
    )


@pytest.mark.parametrize(("price", "expected"), [("bid", 9.5), ("ask", 10.5), ("mid", 10.0)])
def test_the_price_is_a_setting(pipeline: Pipeline, price: str, expected: float) -> None:
    pipeline.send(tick(DAY + "14:30:58", 10))
    pipeline.work_off(price=price)
    assert pipeline.candle("m1", DAY + "14:30:00")["close"] == expected
