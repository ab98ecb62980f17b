"""What is said of candles in motion, and what is published of those that are wrong."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from homma.core.interval import COARSEST, INTERVALS, MINUTE_US
from homma.core.recompute import EXPECTED, EXPECTED_KEY, TICKS
from homma.lake.comparing import Comparison, reconcile, records_of
from homma.lake.correction import Correction, CorrectionRules, clocks_of, correction, marked
from homma.topics.kafka.published_candles import RECORD
from homma.topics.offset_metadata import OffsetMetadata

NOON_US = 1_742_472_000_000_000
PUBLISHED = pl.Schema(
    [
        *EXPECTED.items(),
        ("is_final", pl.Boolean()),
        ("revision", pl.Int32()),
        *((name, dtype()) for name, dtype in RECORD.items()),
    ]
)
TABLE = pl.Schema(list(PUBLISHED.items())[: len(EXPECTED) + 2])
MARK = OffsetMetadata(
    run="r",
    lastTicksBefore=90,
    recallFrom=80,
    clock=NOON_US + 60 * MINUTE_US,
    candlesFrom=(5_000,) * len(INTERVALS),
    began=(0,) * len(INTERVALS),
    begin=None,
    topicId="t",
    price="mid",
)


def candle(code: int = 0, minute: int = 0, volume: int = 2, **more: Any) -> dict[str, Any]:
    """A candle with two ticks, and its record."""
    at = pl.select(INTERVALS[code].floor(pl.lit(NOON_US + minute * MINUTE_US))).item()
    end = pl.select(INTERVALS[code].next(pl.lit(at))).item()
    place = (NOON_US + minute * MINUTE_US) << 63
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
        "open_order_key": place + 1,
        "close_order_key": place + volume,
        "is_final": False,
        "revision": 0,
        "partition": 0,
        "offset": 7,
        "timestamp_ms": 9_000,
        "ticks_before": 50,
        **more,
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
    made: dict[str, Any] | None,
    table: dict[str, Any] | None,
    topic: dict[str, Any] | None,
    *fresh: dict[str, Any],
    landed: int = 8,
    kept_from_ms: int = 0,
) -> tuple[str, str]:
    """What is said of one candle in the table and in the topic."""
    must, there = (rows(s, *([c] if c else [])) for s, c in ((EXPECTED, made), (TABLE, table)))
    published = rows(PUBLISHED, *([topic] if topic else []))
    keys = pl.concat([f.select(EXPECTED_KEY) for f in (must, there, published)]).unique()
    records = records_of(keys, published, {0: 60}, {("S", "A"): 0})
    ticks = pl.DataFrame(list(fresh), schema=TICKS)
    kept = {0: kept_from_ms} if kept_from_ms else {}
    judged = reconcile(Comparison(must, there, None), records, ticks, [{0: landed}], kept)
    said = [f["verdict"].to_list() for f in judged]
    return said[0][0] if said[0] else "", said[1][0] if said[1] else ""


def test_a_candle_is_held_to_the_ticks_that_its_record_says_are_in_it() -> None:
    further = candle(volume=3, close=5.0, high=5.0, close_order_key=(NOON_US << 63) + 9)
    # The lake lacks a tick that the engine has: 49 is before 50, 50 is not.
    assert verdicts(candle(), candle(), further, tick(49, 5.0)) == ("different", "equal")
    assert verdicts(candle(), candle(), further, tick(50, 5.0)) == ("equal", "different")
    assert verdicts(candle(), further, further, tick(49, 5.0)) == ("equal", "equal")
    # There is none in the topic: it must have all that is committed.
    assert verdicts(None, None, None) == ("", "")
    assert verdicts(candle(), candle(), None) == ("equal", "missing")


def test_a_table_may_be_behind_its_topic() -> None:
    further = candle(volume=3, close=5.0, high=5.0, close_order_key=(NOON_US << 63) + 9)
    late = tick(49, 5.0)
    assert verdicts(candle(), candle(), further, late, landed=7) == ("behind", "equal")
    assert verdicts(candle(), None, further, late, landed=7) == ("behind", "equal")
    assert verdicts(candle(), None, candle(), landed=8) == ("missing", "equal")
    # A tombstone that the table has not taken yet.
    gone = candle() | dict.fromkeys(("volume", "open", "high", "low", "close"))
    assert verdicts(None, candle(), gone, landed=7)[0] == "behind"
    assert verdicts(None, candle(), gone, landed=8)[0] == "extra"


def test_what_retention_has_taken_is_not_missed() -> None:
    noon_ms = NOON_US // 1000
    assert verdicts(candle(), candle(), None, kept_from_ms=noon_ms)[1] == "expired"
    assert verdicts(candle(), candle(), None, kept_from_ms=noon_ms - 600_000)[1] == "missing"


def corrected(
    truth: list[dict[str, Any]],
    topic: list[dict[str, Any]],
    table: list[dict[str, Any]],
    clock_us: int = NOON_US + 30 * MINUTE_US,
) -> Correction:
    made, published, there = rows(EXPECTED, *truth), rows(PUBLISHED, *topic), rows(TABLE, *table)
    keys = pl.concat([f.select(EXPECTED_KEY) for f in (made, published, there)]).unique()
    records = records_of(keys, published, {0: 60}, {})
    judged = reconcile(
        Comparison(made, there, None), records, pl.DataFrame(schema=TICKS), [{0: 8}], {}
    )
    clocks = clocks_of(made.head(1)).with_columns(clock_us=pl.lit(clock_us))
    return correction(made, *judged, records, there, clocks, MARK.clock, CorrectionRules())


def test_a_corrected_candle_counts_one_revision_on_and_keeps_its_timestamp() -> None:
    wrong = candle(high=9.0, is_final=True, revision=3)
    done = corrected([candle()], [wrong], [wrong])
    [row] = done.write.to_dicts()
    assert (row["high"], row["is_final"], row["revision"], row["timestamp_ms"]) == (
        3.0,
        True,
        4,
        9_000,
    )
    assert done.tombstones.is_empty()
    assert done.wanted.is_empty()


@pytest.mark.parametrize(("minute", "final"), [(0, True), (30, False)])
def test_a_missing_candle_is_final_by_its_series_clock(minute: int, final: bool) -> None:
    done = corrected([candle(minute=minute)], [], [])
    [row] = done.write.to_dicts()
    assert (row["is_final"], row["revision"]) == (final, int(final))
    # What a restart must read is dated after what it need not.
    clock_ms = MARK.clock // 1000
    assert row["timestamp_ms"] == (clock_ms - 1 if final else clock_ms)
    assert done.wanted.height == (not final)


def test_a_missing_month_counts_as_long_quiet() -> None:
    [row] = corrected([candle(COARSEST)], [], []).write.to_dicts()
    assert row["timestamp_ms"] == (MARK.clock - CorrectionRules().allowed_lateness_us) // 1000 - 1
    assert not row["is_final"]


def test_a_final_row_of_the_table_stays_final_and_what_is_too_much_goes() -> None:
    row = candle(minute=30, high=9.0, is_final=True, revision=2)
    [written] = corrected([candle(minute=30)], [], [row]).write.to_dicts()
    assert (written["is_final"], written["revision"]) == (True, 3)
    done = corrected([candle()], [candle(), candle(minute=5)], [candle()])
    assert done.write.is_empty()
    assert done.tombstones["start_us"].to_list() == [NOON_US + 5 * MINUTE_US]


def test_the_mark_leads_a_restart_to_what_was_published() -> None:
    wanted = corrected([candle(minute=30)], [candle(minute=30, high=9.0, timestamp_ms=70)], [])
    told = marked(MARK, 90, wanted.wanted)
    assert told == replace(MARK, candlesFrom=(70, *MARK.candlesFrom[1:]))
    assert marked(MARK, 91, wanted.wanted.clear()).lastTicksBefore == 91
