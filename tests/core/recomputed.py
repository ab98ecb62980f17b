"""Recorded ticks, slices of them, and the candles expected from them."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from homma.core import fields
from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.candle import order_key_number, order_key_us
from homma.core.interval import BY_CODE
from homma.core.recompute import (
    END_OF_TIME_US,
    TICKS,
    Slice,
)
from tests.support import oracle
from tests.support.frames import measures_of, us, values_of
from tests.support.oracle import Tick
from tests.support.tick_logs import SIZES

# A Thursday at the end of a month and of a leap day; the week ends three days later.
BASE = datetime(2024, 2, 29, 23, 58)
MOMENTS = st.integers(0, 5 * 1440).map(lambda minutes: BASE + timedelta(minutes=minutes))


@st.composite
def ticks(draw: st.DrawFn) -> list[Tick]:
    moments = draw(st.lists(MOMENTS, min_size=1, max_size=6))
    parts = st.tuples(
        st.sampled_from(moments), st.integers(0, 2), st.sampled_from("AB"), st.floats(1, 2), SIZES
    )
    is_trade = draw(st.booleans())
    return [
        {
            "source": "S",
            "symbol": symbol,
            **({"price": price, "size": size} if is_trade else {"mid": price}),
            "number": number,
            "dateTime": at.isoformat(timespec="microseconds"),
        }
        for at, number, symbol, price, size in draw(st.lists(parts, min_size=1, max_size=30))
    ]


def frame(ticks: Sequence[Tick]) -> pl.DataFrame:
    """The ticks with offsets in this order."""
    rows = [
        (t["source"], t["symbol"], us(oracle.at_of(t)), t["number"], *measures_of(t), 0, offset)
        for offset, t in enumerate(ticks)
    ]
    return pl.DataFrame(rows, schema=TICKS, orient="row")


def slices(rows: pl.DataFrame, ends: Sequence[int]) -> list[Slice]:
    edges = [0, *sorted(set(ends)), END_OF_TIME_US]
    at = pl.col("event_us")
    return [
        Slice(low, high, rows.filter((at >= low) & (at < high)))
        for low, high in itertools.pairwise(edges)
    ]


def by_key(candles: pl.DataFrame) -> dict[Any, Any]:
    result = {}
    split = candles.with_columns(
        openNumber=order_key_number(pl.col("open_order_key")),
        close_us=order_key_us(pl.col("close_order_key")),
    )
    for row in split.to_dicts():
        start = datetime.fromtimestamp(row["start_us"] / 1e6, UTC).replace(tzinfo=None)
        key = (BY_CODE[row["interval"]].name, row["source"], row["symbol"], start)
        assert key not in result, "a candle came out twice"
        names = (*fields.VALUES, "openNumber", "close_us")
        result[key] = tuple(row[name] for name in names)
    return result


def expected(ticks: list[Tick], calendar: Calendar = DEFAULT_CALENDAR) -> dict[Any, Any]:
    price = "mid" if "mid" in ticks[0] else "trade"
    names = [interval.name for interval in calendar]
    return {
        key: (
            *values_of(candle),
            candle["openNumber"],
            us(datetime.fromisoformat(candle["closeDateTime"])),
        )
        for key, candle in oracle.candles(oracle.counted(ticks, price=price), price, names).items()
    }
