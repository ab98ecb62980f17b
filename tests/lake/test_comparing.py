"""Verdicts on candles that are changing, and corrections of wrong candles."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.compare import wrong_keys
from homma.core.finality import FinalityRules
from homma.core.interval import BY_CODE, MINUTE_US
from homma.core.recompute import EXPECTED, EXPECTED_KEY, RECORDED, TICKS
from homma.lake.audit.comparing import Comparison, newest_records, reconcile
from homma.lake.audit.correction import (
    Correction,
    PartitionTime,
    compute_correction,
    recorded_series,
    updated_metadata,
    woken_metadata,
)
from homma.topics.kafka.published_candles import TOPIC_CANDLE
from homma.topics.offset_metadata import OffsetMetadata

NOON_US = 1_742_472_000_000_000
METADATA = OffsetMetadata(
    run="r",
    lastTicksBefore=90,
    recallFrom=80,
    clock=NOON_US + 60 * MINUTE_US,
    candlesFrom=dict.fromkeys(DEFAULT_CALENDAR.codes, 5_000),
    began=dict.fromkeys(DEFAULT_CALENDAR.codes, 0),
    begin={},
    topicId="t",
    price="mid",
    intervals=DEFAULT_CALENDAR.codes,
)


def candle(code: str = "m1", minute: int = 0, volume: int = 2, **fields: Any) -> dict[str, Any]:
    """A candle with two ticks, and its record."""
    at = pl.select(BY_CODE[code].floor(pl.lit(NOON_US + minute * MINUTE_US))).item()
    end = pl.select(BY_CODE[code].next(pl.lit(at))).item()
    order_key = (NOON_US + minute * MINUTE_US) << 63
    return {
        "source": "S",
        "symbol": "A",
        "interval": code,
        "start_us": at,
        "end_us": end,
        "open": 1.0,
        "high": 3.0,
        "low": 1.0,
        "close": 2.0,
        "volume": volume,
        "traded_volume": 0,
        "tick_count": volume,
        "turnover": 0,
        "open_order_key": order_key + 1,
        "close_order_key": order_key + volume,
        "is_final": False,
        "revision": 0,
        "partition": 0,
        "offset": 7,
        "timestamp_ms": 9_000,
        "ticks_before": 50,
        **fields,
    }


def rows(schema: pl.Schema, *candles: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{n: c[n] for n in schema} for c in candles], schema=schema)


def tick(offset: int, price: float, number: int = 9) -> dict[str, Any]:
    return {
        "source": "S",
        "symbol": "A",
        "event_us": NOON_US,
        "number": number,
        "price": price,
        "partition": 0,
        "offset": offset,
    }


def verdicts(
    expected: dict[str, Any] | None,
    table: dict[str, Any] | None,
    topic: dict[str, Any] | None,
    *unlanded: dict[str, Any],
    landed: int = 8,
    retained_from_ms: int = 0,
) -> tuple[str, str]:
    """The verdicts on one candle, in the table and in the topic."""
    expected_rows, table_rows = (
        rows(s, *([c] if c else [])) for s, c in ((EXPECTED, expected), (RECORDED, table))
    )
    published = rows(TOPIC_CANDLE, *([topic] if topic else []))
    keys = pl.concat(
        [f.select(EXPECTED_KEY) for f in (expected_rows, table_rows, published)]
    ).unique()
    records = newest_records(keys, published, {0: 60}, {("S", "A"): 0})
    ticks = pl.DataFrame(list(unlanded), schema=TICKS)
    retained = {"m1": retained_from_ms} if retained_from_ms else {}
    verdict_frames = reconcile(
        Comparison(expected_rows, table_rows, None),
        records,
        ticks,
        {"m1": {0: landed}},
        retained,
        DEFAULT_CALENDAR,
    )
    verdict_lists = [f["verdict"].to_list() for f in verdict_frames]
    return verdict_lists[0][0] if verdict_lists[0] else "", verdict_lists[1][0] if verdict_lists[
        1
    ] else ""


def test_a_candle_must_contain_the_ticks_that_its_record_claims() -> None:
    larger = candle(volume=3, close=5.0, high=5.0, close_order_key=(NOON_US << 63) + 9)
    # The lake lacks a tick that the engine has: 49 is before 50, 50 is not.
    assert verdicts(candle(), candle(), larger, tick(49, 5.0)) == ("different", "equal")
    assert verdicts(candle(), candle(), larger, tick(50, 5.0)) == ("equal", "different")
    assert verdicts(candle(), larger, larger, tick(49, 5.0)) == ("equal", "equal")
    # There is no record in the topic: the candle must have all committed ticks.
    assert verdicts(None, None, None) == ("", "")
    assert verdicts(candle(), candle(), None) == ("equal", "missing")


def test_a_table_may_be_behind_its_topic() -> None:
    larger = candle(volume=3, close=5.0, high=5.0, close_order_key=(NOON_US << 63) + 9)
    late = tick(49, 5.0)
    assert verdicts(candle(), candle(), larger, late, landed=7) == ("behind", "equal")
    assert verdicts(candle(), None, larger, late, landed=7) == ("behind", "equal")
    assert verdicts(candle(), None, candle(), landed=8) == ("missing", "equal")
    # A tombstone that the table has not read yet.
    tombstone = candle() | dict.fromkeys(("volume", "open", "high", "low", "close"))
    assert verdicts(None, candle(), tombstone, landed=7)[0] == "behind"
    assert verdicts(None, candle(), tombstone, landed=8)[0] == "extra"


def test_candles_deleted_by_retention_are_not_missing() -> None:
    noon_ms = NOON_US // 1000
    assert verdicts(candle(), candle(), None, retained_from_ms=noon_ms)[1] == "expired"
    assert verdicts(candle(), candle(), None, retained_from_ms=noon_ms - 600_000)[1] == "missing"


def corrected(
    expected: list[dict[str, Any]],
    topic: list[dict[str, Any]],
    table: list[dict[str, Any]],
    newest_us: int = NOON_US + 30 * MINUTE_US,
    *,
    read_us: int | None = None,
    now_us: int | None = None,
) -> Correction:
    expected_rows, published, table_rows = (
        rows(EXPECTED, *expected),
        rows(TOPIC_CANDLE, *topic),
        rows(RECORDED, *table),
    )
    keys = pl.concat(
        [f.select(EXPECTED_KEY) for f in (expected_rows, published, table_rows)]
    ).unique()
    records = newest_records(keys, published, {0: 60}, {})
    verdict_frames = reconcile(
        Comparison(expected_rows, table_rows, None),
        records,
        pl.DataFrame(schema=TICKS),
        {"m1": {0: 8}},
        {},
        DEFAULT_CALENDAR,
    )
    series = recorded_series(rows(TOPIC_CANDLE), expected_rows.head(1), None).with_columns(
        newest_us=pl.lit(newest_us), read_us=pl.lit(read_us, pl.Int64)
    )
    return compute_correction(
        expected_rows,
        wrong_keys(verdict_frames),
        records,
        table_rows,
        series,
        PartitionTime(METADATA.clock, now_us),
        FinalityRules(),
    )


def test_a_corrected_candle_has_the_next_revision_and_the_same_timestamp() -> None:
    wrong = candle(high=9.0, is_final=True, revision=3)
    result = corrected([candle()], [wrong], [wrong])
    [row] = result.candles.to_dicts()
    assert (row["high"], row["is_final"], row["revision"], row["timestamp_ms"]) == (
        3.0,
        True,
        4,
        9_000,
    )
    assert result.tombstones.is_empty()
    assert result.needed.is_empty()


@pytest.mark.parametrize(("minute", "final"), [(0, True), (30, False)])
def test_a_missing_candle_is_final_by_its_watermark(minute: int, final: bool) -> None:
    result = corrected([candle(minute=minute)], [], [])
    [row] = result.candles.to_dicts()
    assert (row["is_final"], row["revision"]) == (final, int(final))
    # Candles that a restart needs have a later timestamp than others.
    clock_ms = METADATA.clock // 1000
    assert row["timestamp_ms"] == (clock_ms - 1 if final else clock_ms)
    assert result.needed.height == (not final)


def test_a_missing_month_counts_as_dormant_if_the_engine_withholds_months() -> None:
    [row] = corrected([candle("M1")], [], []).candles.to_dicts()
    assert row["timestamp_ms"] == (METADATA.clock - FinalityRules().allowed_lateness_us) // 1000 - 1
    assert not row["is_final"]


DAYS = 24 * 60


@pytest.mark.parametrize(
    ("newest", "read", "timestamp"),
    [
        # From files only: a tick counts as read at its event time.
        (30, None, 30),
        (59, None, 59),
        (-20 * DAYS, None, -20 * DAYS),
        # The clock has not reached the newest tick yet.
        (90, None, 61),
        # Its month is over, and retention would delete an older record soon.
        (-400 * DAYS, None, 60 - 31 * DAYS),
        # Live ticks, and newer ones from a file.
        (30, 31, 31),
        (30, 58, 58),
        (59, 55, 59),
        # A dormant series wakes.
        (59, 30, 59),
        (-400 * DAYS, -399 * DAYS, 60 - 31 * DAYS),
    ],
)
def test_a_month_tells_when_the_newest_tick_was_read(
    newest: int, read: int | None, timestamp: int
) -> None:
    result = corrected(
        [candle("M1", newest)],
        [],
        [],
        NOON_US + newest * MINUTE_US,
        read_us=None if read is None else NOON_US + read * MINUTE_US,
        now_us=NOON_US + 61 * MINUTE_US,
    )
    [row] = result.candles.to_dicts()
    assert row["timestamp_ms"] * 1000 == NOON_US + timestamp * MINUTE_US
    # A restart reads the records of a series that was dormant and no longer is.
    is_woken = read is not None and read < 50 <= timestamp
    assert result.woken_us == (NOON_US + newest * MINUTE_US if is_woken else None)


def test_what_is_over_is_final_by_the_clock() -> None:
    candles = [candle("m1", 58), candle("m5", 58), candle("h1", 58), candle("D1", 58)]
    newest_us, now_us = NOON_US + 58 * MINUTE_US, NOON_US + 60 * MINUTE_US + 5_000_000
    for now in (now_us, now_us - 1):
        result = corrected(candles, [], [], newest_us, now_us=now)
        final = result.candles.filter("is_final")
        codes = ["m1", "m5", "h1"] if now == now_us else ["m1"]
        assert sorted(final["interval"].to_list()) == sorted(codes)
        assert final["revision"].to_list() == [1] * len(codes)
        # Live ticks may correct all of them: a restart reads them.
        assert result.needed.height == 4


def test_the_series_are_those_of_months_candles_and_loaded_ticks() -> None:
    months = [candle("M1", 5, timestamp_ms=70), candle("M1", -60 * DAYS, timestamp_ms=60)]
    loaded = pl.DataFrame(
        {"source": ["S", "S"], "symbol": ["A", "B"], "newest_us": [1, 2]},
    )
    series = recorded_series(rows(TOPIC_CANDLE, *months), rows(EXPECTED, candle()), loaded)
    assert sorted(series.rows()) == [
        ("S", "A", NOON_US + 5 * MINUTE_US, 70_000),
        ("S", "B", 2, None),
    ]


def test_a_final_row_of_the_table_stays_final_and_extra_candles_are_deleted() -> None:
    row = candle(minute=30, high=9.0, is_final=True, revision=2)
    [written] = corrected([candle(minute=30)], [], [row]).candles.to_dicts()
    assert (written["is_final"], written["revision"]) == (True, 3)
    result = corrected([candle()], [candle(), candle(minute=5)], [candle()])
    assert result.candles.is_empty()
    assert result.tombstones["start_us"].to_list() == [NOON_US + 5 * MINUTE_US]


def test_offset_metadata_lead_a_restart_to_the_published_candles() -> None:
    correction = corrected([candle(minute=30)], [candle(minute=30, high=9.0, timestamp_ms=70)], [])
    metadata = updated_metadata(METADATA, 90, correction.needed)
    assert metadata == replace(METADATA, candlesFrom={**METADATA.candlesFrom, "m1": 70})
    assert updated_metadata(METADATA, 91, correction.needed.clear()).lastTicksBefore == 91


def test_a_restart_reads_the_records_of_woken_series() -> None:
    def from_us(longest_us: int) -> int:
        return 4_000_000 - longest_us // MINUTE_US * 100_000

    metadata = woken_metadata(METADATA, from_us, 70)
    assert metadata.recallFrom == 70
    assert metadata.candlesFrom["m1"] == 3_900
    assert metadata.candlesFrom["M1"] == 0
    assert woken_metadata(METADATA, lambda _: 9_000_000, None) == METADATA
    assert woken_metadata(METADATA, lambda _: 9_000_000, 85) == METADATA
