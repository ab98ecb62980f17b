"""Merging records into a table. tests/topics/test_precedence.py compares it with the oracle."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from homma.core.finality import FinalityRules
from homma.core.interval import CLOCK, MINUTE
from homma.lake.land import newest
from homma.lake.land.newest import RECORD, SERIES_TIMES
from homma.lake.schema import CANDLE_KEY, CANDLE_ROW
from homma.topics.precedence import ReducedRecords, reduce
from tests.support.candle_rows import NOON, candle, candles

Key = tuple[str, str, datetime]
RULES = FinalityRules(watermark_delay_us=2_000_000, idle_timeout_us=5_000_000)
MINUTE_US = 60_000_000
NOON_US = int(NOON.timestamp()) * 1_000_000


def record(offset: int, row: dict[str, Any], *, is_deleted: bool = False) -> dict[str, Any]:
    key = {name: row[name] if name in CANDLE_KEY else None for name in CANDLE_ROW}
    body = key if is_deleted else row
    return {
        **body,
        "is_deleted": is_deleted,
        "partition": 0,
        "offset": offset,
        "timestamp_us": NOON_US,
        "is_authoritative": False,
    }


def records(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=RECORD)


def reduced_records(frame: pl.DataFrame) -> ReducedRecords:
    return reduce(frame, CANDLE_KEY)


def test_a_reopened_or_deleted_candle_does_not_stay_final() -> None:
    bare = record(2, candle(volume=5, revision=None, is_final=None))
    for first in (candle(volume=5, final=False), candle(volume=9)):
        before = record(1, first, is_deleted=first["volume"] > bare["volume"])
        batch = records(before, bare | {"close_date_time": NOON - timedelta(days=1)})
        times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), batch)
        final = candles(candle(volume=5, final=True))
        change = newest.merge(
            candles(), final, reduced_records(batch).records, times, MINUTE, RULES
        )
        assert change.open["volume"].to_list() == [5]
        assert change.removed.height == 1


def test_superseded_records_are_counted_and_named() -> None:
    bare: dict[str, Any] = {"revision": None, "is_final": None}
    reduced = reduced_records(
        records(record(1, candle(volume=5, **bare)), record(2, candle(volume=3, **bare)))
    )
    assert reduced.superseded == 1
    final = candles(candle(volume=9, final=True))
    times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), reduced.records)
    change = newest.merge(candles(), final, reduced.records, times, MINUTE, RULES)
    assert change.retained.equals(final)
    assert change.removed.is_empty()
    assert change.final.is_empty()


def finality(close: timedelta, silence: timedelta = timedelta(0)) -> bool:
    """Whether a noon candle without isFinal is final, with another series seen later."""
    row = candle("AAA", NOON, is_final=None, revision=None, close_date_time=NOON + close)
    other = candle("BBB", NOON, close_date_time=NOON)
    later_us = NOON_US + silence // timedelta(microseconds=1)
    batch = records(record(1, row), record(2, other) | {"timestamp_us": later_us})
    times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), batch)
    reduced = reduced_records(batch).records
    change = newest.merge(candles(), candles(), reduced, times, MINUTE, RULES)
    return "AAA" in change.final["symbol"].to_list()


def test_finality_is_computed_without_is_final() -> None:
    assert not finality(timedelta(seconds=59))
    assert not finality(timedelta(seconds=61, microseconds=999_999))
    assert finality(timedelta(seconds=62))
    # Candles of an idle series become final by the clock, after five seconds at the earliest.
    assert not finality(timedelta(seconds=59), timedelta(seconds=4))
    assert finality(timedelta(seconds=57), timedelta(seconds=5))
    assert not finality(timedelta(seconds=56), timedelta(seconds=5))


def test_an_open_candle_becomes_final_without_a_record_of_its_own() -> None:
    bare = candle("AAA", NOON, is_final=False, revision=None)
    with_revision = candle("AAA", NOON - timedelta(days=1), is_final=False, revision=0)
    next_candle = candle("AAA", NOON + timedelta(minutes=2), revision=None, is_final=None)
    reduced = reduced_records(records(record(1, next_candle))).records
    times = newest.advance(
        newest.times_of(candles(bare, with_revision)), records(record(1, next_candle))
    )
    change = newest.merge(candles(bare, with_revision), candles(), reduced, times, MINUTE, RULES)
    assert change.final["date_time"].to_list() == [NOON]
    assert change.open.height == 2


def test_the_candles_of_a_series_may_be_in_all_partitions() -> None:
    def bare(partition: int, offset: int, start: datetime) -> pl.DataFrame:
        row = candle("AAA", start, revision=None, is_final=None)
        return records(record(offset, row) | {"partition": partition})

    first, then = bare(0, 1, NOON), bare(3, 1, NOON + timedelta(minutes=5))
    times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), first)
    times = newest.advance(times, then)
    # The series' newest event time counts for candles in all partitions.
    change = newest.merge(
        candles(), candles(), reduced_records(first).records, times, MINUTE, RULES
    )
    assert change.final["date_time"].to_list() == [NOON]


def test_a_month_is_final_after_its_last_day() -> None:
    start = datetime(2025, 2, 1, tzinfo=UTC)
    row = candle(
        "AAA",
        start,
        is_final=None,
        revision=None,
        close_date_time=datetime(2025, 3, 1, 0, 0, 2, tzinfo=UTC),
    )
    batch = records(record(1, row))
    times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), batch)
    change = newest.merge(candles(), candles(), reduced_records(batch).records, times, CLOCK, RULES)
    assert change.final.height == 1
