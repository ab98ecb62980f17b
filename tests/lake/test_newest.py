"""Which record becomes the candle: by columns, compared with one record after the other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from homma.core.interval import CLOCK, MINUTE
from homma.lake.land import newest
from homma.lake.land.newest import RECORD, ROW, SERIES_TIMES, FinalityRules
from homma.lake.schema import CANDLE_KEY
from tests.lake.rows import NOON, candle, candles

Key = tuple[str, str, datetime]
RULES = FinalityRules(interval=MINUTE, watermark_delay_us=2_000_000, idle_timeout_us=5_000_000)
MINUTE_US = 60_000_000
NOON_US = int(NOON.timestamp()) * 1_000_000


def record(offset: int, row: dict[str, Any], *, is_deleted: bool = False) -> dict[str, Any]:
    body = {name: row[name] if name in CANDLE_KEY else None for name in ROW} if is_deleted else row
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


def one_by_one(table: dict[Key, dict[str, Any]], batch: list[dict[str, Any]]) -> None:
    """Apply records one by one: the contract in plain Python."""
    for record in batch:
        key = (record["source"], record["symbol"], record["date_time"])
        if record["is_deleted"]:
            table.pop(key, None)
            continue
        current = table.get(key)
        if (
            record["revision"] is None
            and current is not None
            and current["volume"] > record["volume"]
        ):
            continue
        is_final = record["is_final"]
        if is_final is None:
            is_final = current is not None and bool(current["is_final"])
        table[key] = {name: record[name] for name in ROW} | {"is_final": is_final}


changes = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB"]),
        st.integers(0, 2),
        st.sampled_from(["row", "row", "bare", "bare", "gone"]),
        st.integers(1, 5),
        st.booleans(),
    ),
    max_size=12,
)


def make_records(
    changes: list[tuple[str, int, str, int, bool]], first: int
) -> list[dict[str, Any]]:
    result = []
    for offset, (symbol, minute, kind, volume, final) in enumerate(changes, first):
        # The event time is far from the end of the interval: only the engine's isFinal counts.
        row = candle(
            symbol,
            NOON + timedelta(minutes=minute),
            final=final,
            volume=volume,
            close_date_time=NOON - timedelta(days=1),
        )
        if kind == "bare":
            row |= {"revision": None, "is_final": None}
        result.append(record(offset, row, is_deleted=kind == "gone"))
    return result


@settings(deadline=None, max_examples=60)
@given(st.lists(changes, min_size=1, max_size=4))
def test_committing_batches_equals_applying_records_one_by_one(
    commits: list[list[tuple[str, int, str, int, bool]]],
) -> None:
    table: dict[Key, dict[str, Any]] = {}
    open_rows, final_rows = candles(), candles()
    offset = 0
    for changes in commits:
        batch = make_records(changes, offset)
        offset += len(batch)
        one_by_one(table, batch)
        # Reduce in two steps, as with a backlog.
        half = newest.reduce(records(*batch[: len(batch) // 2])).records
        reduced = newest.reduce(pl.concat([half, records(*batch[len(batch) // 2 :])])).records
        matching = final_rows.join(reduced, on=CANDLE_KEY, how="semi")
        times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), records(*batch))
        change = newest.merge(open_rows, matching, reduced, times, RULES)
        open_rows = change.open
        retained = final_rows.join(change.removed, on=CANDLE_KEY, how="anti")
        final_rows = pl.concat([retained, change.final])
        assert not open_rows["is_final"].any()
        assert final_rows["is_final"].all()
        rows = pl.concat([open_rows, final_rows]).sort(CANDLE_KEY)
        expected = candles(*table.values()).sort(CANDLE_KEY)
        assert rows.equals(expected)


def test_a_reopened_or_deleted_candle_does_not_stay_final() -> None:
    bare = record(2, candle(volume=5, revision=None, is_final=None))
    for first in (candle(volume=5, final=False), candle(volume=9)):
        before = record(1, first, is_deleted=first["volume"] > bare["volume"])
        batch = records(before, bare | {"close_date_time": NOON - timedelta(days=1)})
        times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), batch)
        final = candles(candle(volume=5, final=True))
        change = newest.merge(candles(), final, newest.reduce(batch).records, times, RULES)
        assert change.open["volume"].to_list() == [5]
        assert change.removed.height == 1


def test_superseded_records_are_counted_and_named() -> None:
    bare: dict[str, Any] = {"revision": None, "is_final": None}
    reduced = newest.reduce(
        records(record(1, candle(volume=5, **bare)), record(2, candle(volume=3, **bare)))
    )
    assert reduced.superseded == 1
    final = candles(candle(volume=9, final=True))
    times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), reduced.records)
    change = newest.merge(candles(), final, reduced.records, times, RULES)
    assert change.retained.equals(final)
    assert change.removed.is_empty()
    assert change.final.is_empty()


def finality(
    close: timedelta, silence: timedelta = timedelta(0), rules: FinalityRules = RULES
) -> bool:
    """Whether a noon candle without isFinal is final, with another series seen later."""
    row = candle("AAA", NOON, is_final=None, revision=None, close_date_time=NOON + close)
    other = candle("BBB", NOON, close_date_time=NOON)
    later_us = NOON_US + silence // timedelta(microseconds=1)
    batch = records(record(1, row), record(2, other) | {"timestamp_us": later_us})
    times = newest.advance(pl.DataFrame(schema=SERIES_TIMES), batch)
    reduced = newest.reduce(batch).records
    change = newest.merge(candles(), candles(), reduced, times, rules)
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
    reduced = newest.reduce(records(record(1, next_candle))).records
    times = newest.advance(
        newest.times_of(candles(bare, with_revision)), records(record(1, next_candle))
    )
    change = newest.merge(candles(bare, with_revision), candles(), reduced, times, RULES)
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
    change = newest.merge(candles(), candles(), newest.reduce(first).records, times, RULES)
    assert change.final["date_time"].to_list() == [NOON]


def test_a_month_is_final_after_its_last_day() -> None:
    rules = FinalityRules(CLOCK, 2_000_000, 5_000_000)
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
    change = newest.merge(candles(), candles(), newest.reduce(batch).records, times, rules)
    assert change.final.height == 1
