"""Identities against a plain set."""

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homma.core.candle import place
from homma.core.identity import Identities
from homma.core.interval import MINUTE_US
from tests.core.effort import effort

#: (series, minute, microsecond of it, number)
Identity = tuple[int, int, int, int]
SERIES = 3
IDENTITIES = st.tuples(
    st.integers(0, SERIES - 1),
    st.integers(0, 4),
    st.sampled_from([0, 1, MINUTE_US - 1]),
    st.integers(0, 2),
)
BATCHES = st.lists(st.lists(IDENTITIES, unique=True, max_size=6), max_size=8)
ALIVE = st.lists(st.integers(0, 5), min_size=SERIES, max_size=SERIES)
ACTIVE = st.lists(st.booleans(), min_size=SERIES, max_size=SERIES)


def frame(identities: Sequence[Identity], first_offset: int = 0) -> pl.DataFrame:
    rows = [
        (series, minute * MINUTE_US + within, number, first_offset + n)
        for n, (series, minute, within, number) in enumerate(identities)
    ]
    schema = {"series": pl.UInt32, "event_us": pl.Int64, "number": pl.Int64, "offset": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        place=place(pl.col("event_us"), pl.col("number"))
    )


def known(identities: Identities, asked: Sequence[Identity]) -> set[int]:
    found = identities.known(frame(asked)) if asked else frame([])
    assert found.columns == frame([]).columns
    return set(found["offset"])


@effort(2)
@given(BATCHES, st.lists(IDENTITIES, max_size=20), ALIVE, ACTIVE)
def test_as_a_plain_set(
    batches: list[list[Identity]], asked: list[Identity], alive: list[int], active: list[bool]
) -> None:
    """Known is what was added and not forgotten; recalled from where the first of those came."""
    identities = Identities()
    offsets: dict[Identity, int] = {}
    for batch in batches:
        new = [one for one in batch if one not in offsets]
        before = identities
        size = len(before)
        identities = identities.add(frame(new, len(offsets)))
        assert len(before) == size, "an older value has changed"
        offsets |= {one: len(offsets) + n for n, one in enumerate(new)}
        assert len(identities) == len(offsets)
    assert known(identities, asked) == {n for n, one in enumerate(asked) if one in offsets}
    assert identities.recall_from(999) == min(offsets.values(), default=999)

    alive_us = pl.Series([minute * MINUTE_US for minute in alive], dtype=pl.Int64)
    kept = identities.forget(alive_us, pl.Series(active))
    left = {one for one in offsets if one[1] >= alive[one[0]]}
    assert known(kept, asked) == {n for n, one in enumerate(asked) if one in left}
    assert len(kept) == len(left)
    assert known(identities, asked) == {n for n, one in enumerate(asked) if one in offsets}
    lively = [offsets[one] for one in left if active[one[0]]]
    assert kept.recall_from(999) <= min(lively, default=999)


def test_many_small_batches_of_one_minute() -> None:
    """More of them than chunks are kept apart."""
    identities = Identities()
    for n in range(200):
        identities = identities.add(frame([(0, 0, 0, n)], n))
    assert len(identities) == 200
    assert known(identities, [(0, 0, 0, n) for n in range(300)]) == set(range(200))
    assert identities.recall_from(999) == 0


def test_only_dormant_series_are_not_recalled() -> None:
    both = Identities().add(frame([(0, 0, 0, 1)], 10)).add(frame([(1, 2, 0, 1)], 20))
    alive = pl.Series([0, 3 * MINUTE_US, 3 * MINUTE_US], dtype=pl.Int64)
    assert both.forget(alive, pl.Series([False, True, True])).recall_from(999) == 999
    assert both.forget(alive, pl.Series([True, True, True])).recall_from(999) == 10
    woken = both.forget(alive, pl.Series([False, True, True])).add(frame([(0, 0, 1, 5)], 30))
    assert woken.recall_from(999) == 10
