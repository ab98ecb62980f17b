"""Recomputed candles equal the oracle's, for any slices and any duplicates."""

import itertools
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.compare import Tally, compare
from homma.core.interval import DAY_US, MINUTE_US
from homma.core.recompute import (
    EXPECTED,
    EXPECTED_KEY,
    FROM_FILE,
    EventSpan,
    Slice,
    first_copies,
    recompute,
    slice_bounds,
)
from tests.core.recomputed import BASE, by_key, expected, frame, slices, ticks
from tests.support.effort import effort
from tests.support.frames import us
from tests.support.oracle import Tick


@effort(2)
@given(ticks(), st.lists(st.integers(0, 5 * 1440), max_size=4), st.randoms())
def test_recomputed_candles_equal_the_oracle(
    drawn_ticks: list[Tick], minutes: list[int], chance: Any
) -> None:
    rows = frame(drawn_ticks)
    order = list(range(rows.height))
    chance.shuffle(order)
    edges = [us(BASE) + minute * MINUTE_US for minute in minutes]
    candles = pl.concat(recompute(slices(rows[order], edges), DEFAULT_CALENDAR))
    assert candles.schema == EXPECTED
    assert by_key(candles) == expected(drawn_ticks)


@effort()
@given(ticks(), st.integers(0, 5 * 1440), st.integers(1, 3000))
def test_a_span_gives_complete_candles_that_start_in_it(
    drawn_ticks: list[Tick], first: int, length: int
) -> None:
    span = EventSpan(us(BASE) + first * MINUTE_US, us(BASE) + (first + length) * MINUTE_US)
    at = pl.col("event_us")
    end_us = span.ticks_end_us(DEFAULT_CALENDAR)
    rows = frame(drawn_ticks).filter((at >= span.start_us) & (at < end_us))
    candles = pl.concat(recompute([Slice(span.start_us, end_us, rows)], DEFAULT_CALENDAR, span))
    in_span = {
        key: value
        for key, value in expected(drawn_ticks).items()
        if span.start_us <= us(key[3]) < span.end_us
    }
    assert by_key(candles) == in_span


def test_the_copy_with_the_smallest_offset_counts_and_files_come_last() -> None:
    rows = [
        (0, 5, 1, 7.0, FROM_FILE, 0),
        (0, 5, 1, 2.0, 3, 20),
        (0, 5, 1, 1.0, 3, 10),
        (0, 5, 2, 8.0, FROM_FILE, 4),
        (0, 5, 2, 9.0, FROM_FILE, 3),
        (1, 5, 1, 4.0, 3, 11),
    ]
    names = ("series", "event_us", "number", "price", "partition", "offset")
    counted = first_copies(pl.DataFrame(rows, schema=names, orient="row"))
    assert sorted(counted["price"]) == [1.0, 4.0, 9.0]


@effort(4)
@given(
    st.dictionaries(st.integers(10, 20), st.integers(1, 50), max_size=8),
    st.integers(1, 40),
    st.integers(0, 3 * DAY_US),
)
def test_slices_cover_the_range_once(
    ticks_by_day: dict[int, int], max_ticks: int, into_us: int
) -> None:
    start, end = 10 * DAY_US + into_us, 21 * DAY_US
    edges = slice_bounds(ticks_by_day, max_ticks, start, end)
    assert edges[0] == start
    assert edges[-1] == end
    assert edges == sorted(set(edges))
    # Days that share a slice do not have too many ticks together.
    for low, high in itertools.pairwise(edges):
        whole = [
            n
            for day, n in ticks_by_day.items()
            if low <= day * DAY_US and (day + 1) * DAY_US <= high
        ]
        assert sum(whole) <= max_ticks or len(whole) == 1
    assert all(edge % MINUTE_US == 0 for edge in edges[1:-1])


def test_differences_are_counted_with_examples() -> None:
    day = [
        {"source": "S", "symbol": s, "mid": 1.0, "number": n, "dateTime": f"2024-03-01T00:0{n}:00"}
        for s in "AB"
        for n in range(6)
    ]
    recomputed = pl.concat(recompute(slices(frame(day), []), DEFAULT_CALENDAR))
    minutes = recomputed.filter(pl.col("interval") == "m1").sort(EXPECTED_KEY)
    others = recomputed.filter(pl.col("interval") != "m1")
    actual = pl.concat(
        [
            minutes[2:].with_columns(
                high=pl.when(pl.int_range(pl.len()) == 0).then(2.0).otherwise("high")
            ),
            minutes[:1].with_columns(symbol=pl.lit("C")),
            # As from an engine that writes no order keys.
            others.with_columns(open_order_key=pl.lit(None, pl.Int128)),
        ]
    )
    tally = Tally(max_examples=1)
    tally.add(compare(recomputed, actual))
    assert tally.wrong == 4
    assert {verdict: tally.count(verdict) for verdict in ("missing", "extra", "different")} == {
        "missing": 2,
        "extra": 1,
        "different": 1,
    }
    assert tally.count("equal") == recomputed.height - 3
    [missing] = tally.examples["missing"]
    assert (missing["symbol"], missing["start_us"]) == ("A", minutes["start_us"][0])
    [different] = tally.examples["different"]
    assert (different["high"], different["actual_high"]) == (1.0, 2.0)
