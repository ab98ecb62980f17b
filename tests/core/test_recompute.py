"""Recomputed candles are the oracle's, however the ticks are cut and whatever copies there are."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homma.core.candle import order_key_number, order_key_us
from homma.core.compare import Tally, compare
from homma.core.interval import DAY_US, INTERVALS, MINUTE_US
from homma.core.recompute import (
    END_OF_TIME_US,
    EXPECTED,
    EXPECTED_KEY,
    FILED,
    TICKS,
    EventSpan,
    Slice,
    counted,
    cuts,
    recomputed,
)
from tests import oracle
from tests.core.effort import effort
from tests.core.frames import us
from tests.oracle import Tick

# A month's and a leap day's end on a Thursday; a week's four days later.
BASE = datetime(2024, 2, 29, 23, 58)
MOMENTS = st.integers(0, 5 * 1440).map(lambda minutes: BASE + timedelta(minutes=minutes))


@st.composite
def ticks(draw: st.DrawFn) -> list[Tick]:
    moments = draw(st.lists(MOMENTS, min_size=1, max_size=6))
    one = st.tuples(
        st.sampled_from(moments), st.integers(0, 2), st.sampled_from("AB"), st.floats(1, 2)
    )
    return [
        {
            "source": "S",
            "symbol": symbol,
            "mid": price,
            "number": number,
            "dateTime": at.isoformat(timespec="microseconds"),
        }
        for at, number, symbol, price in draw(st.lists(one, min_size=1, max_size=30))
    ]


def frame(given_ticks: Sequence[Tick]) -> pl.DataFrame:
    """In the order of their offsets."""
    rows = [
        (t["source"], t["symbol"], us(oracle.at_of(t)), t["number"], t["mid"], 0, offset)
        for offset, t in enumerate(given_ticks)
    ]
    return pl.DataFrame(rows, schema=TICKS, orient="row")


def sliced(rows: pl.DataFrame, ends: Sequence[int]) -> list[Slice]:
    edges = [0, *sorted(set(ends)), END_OF_TIME_US]
    at = pl.col("event_us")
    return [
        Slice(low, high, rows.filter((at >= low) & (at < high)))
        for low, high in itertools.pairwise(edges)
    ]


def by_key(made: pl.DataFrame) -> dict[Any, Any]:
    result = {}
    placed = made.with_columns(
        openNumber=order_key_number(pl.col("open_order_key")),
        closed=order_key_us(pl.col("close_order_key")),
    )
    for row in placed.to_dicts():
        start = datetime.fromtimestamp(row["start_us"] / 1e6, UTC).replace(tzinfo=None)
        key = (INTERVALS[row["interval"]].name, row["source"], row["symbol"], start)
        assert key not in result, "it came out twice"
        names = ("open", "high", "low", "close", "volume", "openNumber", "closed")
        result[key] = tuple(row[name] for name in names)
    return result


def wanted(given_ticks: list[Tick]) -> dict[Any, Any]:
    names = ("open", "high", "low", "close", "volume", "openNumber")
    return {
        key: (
            *(one[name] for name in names),
            us(datetime.fromisoformat(one["closeDateTime"])),
        )
        for key, one in oracle.candles(oracle.counted(given_ticks)).items()
    }


@effort(2)
@given(ticks(), st.lists(st.integers(0, 5 * 1440), max_size=4), st.randoms())
def test_they_are_the_oracles(given_ticks: list[Tick], minutes: list[int], chance: Any) -> None:
    rows = frame(given_ticks)
    order = list(range(rows.height))
    chance.shuffle(order)
    edges = [us(BASE) + minute * MINUTE_US for minute in minutes]
    made = pl.concat(recomputed(sliced(rows[order], edges)))
    assert made.schema == EXPECTED
    assert by_key(made) == wanted(given_ticks)


@effort()
@given(ticks(), st.integers(0, 5 * 1440), st.integers(1, 3000))
def test_a_span_gives_whole_candles_that_start_in_it(
    given_ticks: list[Tick], first: int, length: int
) -> None:
    span = EventSpan(us(BASE) + first * MINUTE_US, us(BASE) + (first + length) * MINUTE_US)
    at = pl.col("event_us")
    rows = frame(given_ticks).filter((at >= span.start_us) & (at < span.ticks_to_us()))
    made = pl.concat(recomputed([Slice(span.start_us, span.ticks_to_us(), rows)], span))
    inside = {
        key: value
        for key, value in wanted(given_ticks).items()
        if span.start_us <= us(key[3]) < span.end_us
    }
    assert by_key(made) == inside


def test_of_copies_the_smaller_offset_counts_and_a_files_last() -> None:
    rows = [
        (0, 5, 1, 7.0, FILED, 0),
        (0, 5, 1, 2.0, 3, 20),
        (0, 5, 1, 1.0, 3, 10),
        (0, 5, 2, 8.0, FILED, 4),
        (0, 5, 2, 9.0, FILED, 3),
        (1, 5, 1, 4.0, 3, 11),
    ]
    names = ("series", "event_us", "number", "price", "partition", "offset")
    found = counted(pl.DataFrame(rows, schema=names, orient="row"))
    assert sorted(found["price"]) == [1.0, 4.0, 9.0]


@effort(4)
@given(
    st.dictionaries(st.integers(10, 20), st.integers(1, 50), max_size=8),
    st.integers(1, 40),
    st.integers(0, 3 * DAY_US),
)
def test_slices_cover_the_range_once(per_day: dict[int, int], most: int, into_us: int) -> None:
    start, end = 10 * DAY_US + into_us, 21 * DAY_US
    edges = cuts(per_day, most, start, end)
    assert edges[0] == start
    assert edges[-1] == end
    assert edges == sorted(set(edges))
    # No whole days stand together that hold too much.
    for low, high in itertools.pairwise(edges):
        whole = [
            n for day, n in per_day.items() if low <= day * DAY_US and (day + 1) * DAY_US <= high
        ]
        assert sum(whole) <= most or len(whole) == 1
    assert all(edge % MINUTE_US == 0 for edge in edges[1:-1])


def test_what_differs_is_told_with_examples() -> None:
    day = [
        {"source": "S", "symbol": s, "mid": 1.0, "number": n, "dateTime": f"2024-03-01T00:0{n}:00"}
        for s in "AB"
        for n in range(6)
    ]
    made = pl.concat(recomputed(sliced(frame(day), [])))
    minutes = made.filter(pl.col("interval") == 0).sort(EXPECTED_KEY)
    others = made.filter(pl.col("interval") != 0)
    found = pl.concat(
        [
            minutes[2:].with_columns(
                high=pl.when(pl.int_range(pl.len()) == 0).then(2.0).otherwise("high")
            ),
            minutes[:1].with_columns(symbol=pl.lit("C")),
            # Not told by an engine that writes no places.
            others.with_columns(open_order_key=pl.lit(None, pl.Int128)),
        ]
    )
    tally = Tally(most=1)
    tally.add(compare(made, found))
    assert tally.wrong == 4
    assert {verdict: tally.of(verdict) for verdict in ("missing", "extra", "different")} == {
        "missing": 2,
        "extra": 1,
        "different": 1,
    }
    assert tally.of("equal") == made.height - 3
    [missing] = tally.examples["missing"]
    assert (missing["symbol"], missing["start_us"]) == ("A", minutes["start_us"][0])
    [different] = tally.examples["different"]
    assert (different["high"], different["found_high"]) == (1.0, 2.0)
