"""Sums of trades stay below the bound, and a tick beyond is refused alone."""

from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.recompute import END_OF_TIME_US, Slice, recompute
from homma.core.window import Window
from homma.errors import StateError
from tests.core.partition_owners import NEVER_LATE, rules_of
from tests.core.recomputed import frame
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import as_records, tick_frame, without_finality
from tests.support.oracle import Candle, Key, Tick

NOON = datetime(2025, 3, 20, 12)
#: Two of the largest sizes take a month to the bound of the turnover.
SIZES = st.sampled_from([Decimal(1), Decimal(3 * 10**14), Decimal(6 * 10**14), Decimal("1e-12")])


def trade(at: datetime, number: int, size: Decimal, price: float = 1e11) -> Tick:
    return {
        "source": "S",
        "symbol": "A",
        "price": price,
        "size": size,
        "number": number,
        "dateTime": at.isoformat(timespec="microseconds"),
    }


@effort(3)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 9), SIZES, st.sampled_from([1e11, -1e11])),
        min_size=1,
        max_size=16,
    ),
    st.integers(1, 6),
    st.booleans(),
)
def test_ticks_beyond_the_bound_are_refused_and_no_sum_wraps(
    drawn: list[tuple[int, int, Decimal, float]], step: int, publishes: bool
) -> None:
    ticks = [
        trade(NOON + timedelta(days=day), number, size, price) for day, number, size, price in drawn
    ]
    window = Window(rules_of(NEVER_LATE, price="trade"))
    records: dict[Key, Candle] = {}
    beyond: set[int] = set()
    for first in range(0, len(ticks), step):
        batch = [(n, ticks[n], NOON) for n in range(first, min(first + step, len(ticks)))]
        window, applied = window.apply(tick_frame(batch))
        beyond |= set(applied.beyond["offset"])
        if publishes:
            window, published = window.publish(0)
            records |= as_records(published, "trade")
    _, published = window.publish(0)
    records |= as_records(published, "trade")
    fates = oracle.fates(ticks, NEVER_LATE, "trade")
    assert beyond == {n for n, fate in enumerate(fates) if fate == "beyond"}
    assert without_finality(records) == oracle.candles(
        oracle.counted(ticks, NEVER_LATE, "trade"), "trade"
    )


def test_a_recomputation_refuses_sums_beyond_the_bound() -> None:
    ticks = [trade(NOON, number, Decimal(6 * 10**14)) for number in (1, 2)]
    whole = Slice(0, END_OF_TIME_US, frame(ticks))
    with pytest.raises(StateError, match="beyond which sums are not exact"):
        pl.concat(recompute([whole], DEFAULT_CALENDAR))
