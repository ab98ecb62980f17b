"""Which candle is left: by columns, as by one record after the other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from homma.core.interval import BY_NAME
from homma.lake import newest
from homma.lake.newest import CLOCKS, RECORD, ROW, FinalityRules
from homma.lake.schema import CANDLE_KEY
from tests.lake.rows import NOON, candle, candles

Key = tuple[str, str, datetime]
RULES = FinalityRules(interval=0, watermark_delay_us=2_000_000, idle_timeout_us=5_000_000)
MINUTE_US = 60_000_000
NOON_US = int(NOON.timestamp()) * 1_000_000


def record(offset: int, row: dict[str, Any], *, gone: bool = False) -> dict[str, Any]:
    body = {name: row[name] if name in CANDLE_KEY else None for name in ROW} if gone else row
    return {
        **body,
        "gone": gone,
        "partition": 0,
        "offset": offset,
        "timestamp_us": NOON_US,
        "sure": False,
    }


def records(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=RECORD)


def one_by_one(table: dict[Key, dict[str, Any]], taken: list[dict[str, Any]]) -> None:
    """The contract in plain Python."""
    for one in taken:
        key = (one["source"], one["symbol"], one["date_time"])
        if one["gone"]:
            table.pop(key, None)
            continue
        held = table.get(key)
        if one["revision"] is None and held is not None and held["volume"] > one["volume"]:
            continue
        final = one["is_final"]
        if final is None:
            final = held is not None and bool(held["is_final"])
        table[key] = {name: one[name] for name in ROW} | {"is_final": final}


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


def made(changed: list[tuple[str, int, str, int, bool]], first: int) -> list[dict[str, Any]]:
    found = []
    for offset, (symbol, minute, kind, volume, final) in enumerate(changed, first):
        # Its clock is far from the end: whether it is final is the engine's word alone.
        row = candle(
            symbol,
            NOON + timedelta(minutes=minute),
            final=final,
            volume=volume,
            close_date_time=NOON - timedelta(days=1),
        )
        if kind == "bare":
            row |= {"revision": None, "is_final": None}
        found.append(record(offset, row, gone=kind == "gone"))
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(changes, min_size=1, max_size=4))
def test_commit_by_commit_the_table_holds_what_record_by_record_would(
    commits: list[list[tuple[str, int, str, int, bool]]],
) -> None:
    table: dict[Key, dict[str, Any]] = {}
    open_rows, final_rows = candles(), candles()
    offset = 0
    for changed in commits:
        taken = made(changed, offset)
        offset += len(taken)
        one_by_one(table, taken)
        # In two steps, as a backlog is reduced.
        half = newest.reduce(records(*taken[: len(taken) // 2])).records
        reduced = newest.reduce(pl.concat([half, records(*taken[len(taken) // 2 :])])).records
        found = final_rows.join(reduced, on=CANDLE_KEY, how="semi")
        clocks = newest.advance(pl.DataFrame(schema=CLOCKS), records(*taken))
        change = newest.merge(open_rows, found, reduced, clocks, RULES)
        open_rows = change.open
        kept = final_rows.join(change.dropped, on=CANDLE_KEY, how="anti")
        final_rows = pl.concat([kept, change.final])
        assert not open_rows["is_final"].any()
        assert final_rows["is_final"].all()
        rows = pl.concat([open_rows, final_rows]).sort(CANDLE_KEY)
        wanted = candles(*table.values()).sort(CANDLE_KEY)
        assert rows.equals(wanted)


def test_a_final_candle_that_was_reopened_or_deleted_is_not_final_by_what_it_was() -> None:
    bare = record(2, candle(volume=5, revision=None, is_final=None))
    for first in (candle(volume=5, final=False), candle(volume=9)):
        before = record(1, first, gone=first["volume"] > bare["volume"])
        taken = records(before, bare | {"close_date_time": NOON - timedelta(days=1)})
        clocks = newest.advance(pl.DataFrame(schema=CLOCKS), taken)
        final = candles(candle(volume=5, final=True))
        change = newest.merge(candles(), final, newest.reduce(taken).records, clocks, RULES)
        assert change.open["volume"].to_list() == [5]
        assert change.dropped.height == 1


def test_records_that_are_outdone_are_counted_and_named() -> None:
    bare: dict[str, Any] = {"revision": None, "is_final": None}
    reduced = newest.reduce(
        records(record(1, candle(volume=5, **bare)), record(2, candle(volume=3, **bare)))
    )
    assert reduced.superseded == 1
    held = candles(candle(volume=9, final=True))
    clocks = newest.advance(pl.DataFrame(schema=CLOCKS), reduced.records)
    change = newest.merge(candles(), held, reduced.records, clocks, RULES)
    assert change.kept.equals(held)
    assert change.dropped.is_empty()
    assert change.final.is_empty()


def finality(
    close: timedelta, quiet: timedelta = timedelta(0), rules: FinalityRules = RULES
) -> bool:
    """Of a candle of noon whose engine does not say, with another series seen later."""
    row = candle("AAA", NOON, is_final=None, revision=None, close_date_time=NOON + close)
    other = candle("BBB", NOON, close_date_time=NOON)
    later_us = NOON_US + quiet // timedelta(microseconds=1)
    taken = records(record(1, row), record(2, other) | {"timestamp_us": later_us})
    clocks = newest.advance(pl.DataFrame(schema=CLOCKS), taken)
    reduced = newest.reduce(taken).records
    change = newest.merge(candles(), candles(), reduced, clocks, rules)
    return "AAA" in change.final["symbol"].to_list()


def test_finality_is_worked_out_where_the_engine_does_not_say() -> None:
    assert not finality(timedelta(seconds=59))
    assert not finality(timedelta(seconds=61, microseconds=999_999))
    assert finality(timedelta(seconds=62))
    # A quiet series is closed by the clock, five seconds later at the earliest.
    assert not finality(timedelta(seconds=59), timedelta(seconds=4))
    assert finality(timedelta(seconds=57), timedelta(seconds=5))
    assert not finality(timedelta(seconds=56), timedelta(seconds=5))


def test_an_open_candle_becomes_final_without_a_record_of_its_own() -> None:
    bare = candle("AAA", NOON, is_final=False, revision=None)
    told = candle("AAA", NOON - timedelta(days=1), is_final=False, revision=0)
    next_one = candle("AAA", NOON + timedelta(minutes=2), revision=None, is_final=None)
    reduced = newest.reduce(records(record(1, next_one))).records
    clocks = newest.advance(newest.clocks_of(candles(bare, told)), records(record(1, next_one)))
    change = newest.merge(candles(bare, told), candles(), reduced, clocks, RULES)
    assert change.final["date_time"].to_list() == [NOON]
    assert change.open.height == 2


def test_a_series_in_two_partitions_is_found() -> None:
    first = records(record(1, candle("AAA")), record(2, candle("BBB")))
    clocks = newest.advance(pl.DataFrame(schema=CLOCKS), first)
    assert newest.split(clocks, first) is None
    there = records(record(1, candle("BBB")) | {"partition": 3})
    assert newest.split(clocks, there) == ("S", "BBB", [0, 3])
    restored = newest.clocks_of(candles(candle("BBB")))
    assert newest.split(restored, there) is None


def test_another_engine_may_put_a_series_into_all_partitions() -> None:
    def bare(partition: int, offset: int, start: datetime) -> pl.DataFrame:
        row = candle("AAA", start, revision=None, is_final=None)
        return records(record(offset, row) | {"partition": partition})

    first, then = bare(0, 1, NOON), bare(3, 1, NOON + timedelta(minutes=5))
    clocks = newest.advance(pl.DataFrame(schema=CLOCKS), first)
    assert newest.split(clocks, then) is None
    clocks = newest.advance(clocks, then)
    # One clock closes candles whatever partition they are in.
    change = newest.merge(candles(), candles(), newest.reduce(first).records, clocks, RULES)
    assert change.final["date_time"].to_list() == [NOON]


def test_months_end_where_they_end() -> None:
    month = list(BY_NAME).index("1month")
    rules = FinalityRules(month, 2_000_000, 5_000_000)
    start = datetime(2025, 2, 1, tzinfo=UTC)
    row = candle(
        "AAA",
        start,
        is_final=None,
        revision=None,
        close_date_time=datetime(2025, 3, 1, 0, 0, 2, tzinfo=UTC),
    )
    taken = records(record(1, row))
    clocks = newest.advance(pl.DataFrame(schema=CLOCKS), taken)
    change = newest.merge(candles(), candles(), newest.reduce(taken).records, clocks, rules)
    assert change.final.height == 1
