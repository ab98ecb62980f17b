"""Identities against a plain set."""

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

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
    return pl.DataFrame(rows, schema=schema, orient="row")


def known(identities: Identities, asked: Sequence[Identity]) -> set[int]:
    found = identities.known(frame(asked)) if asked else frame([])
    assert found.columns == frame([]).columns
    return set(found["offset"])


@effort(2)
@given(BATCHES, st.lists(IDENTITIES, max_size=20), ALIVE, ACTIVE, st.sampled_from([1, 3, 100]))
def test_as_a_plain_set(
    batches: list[list[Identity]],
    asked: list[Identity],
    alive: list[int],
    active: list[bool],
    packed_at: int,
) -> None:
    """Known is what was added and not forgotten; recalled from where the first of those came."""
    identities = Identities(packed_at=packed_at)
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
    found = known(kept, asked)
    assert found >= {n for n, one in enumerate(asked) if one in left}
    # What is packed may be kept for a while, though no tick in time could repeat it.
    assert found <= {
        n for n, one in enumerate(asked) if one in (left if packed_at == 100 else offsets)
    }
    assert len(left) <= len(kept) <= (len(left) if packed_at == 100 else len(offsets))
    assert bool(len(kept)) == bool(left)
    assert known(identities, asked) == {n for n, one in enumerate(asked) if one in offsets}
    lively = [offsets[one] for one in left if active[one[0]]]
    assert kept.recall_from(999) <= min(lively, default=999)


def test_packed_parts_are_let_go_of_when_half_of_their_series_are() -> None:
    """Otherwise one series that has stalled would keep the ticks of all the others."""
    everyone = [(series, 0, n, n) for series in range(4) for n in range(10)]
    identities = Identities(packed_at=5).add(frame(everyone))
    for gone, left in ((1, 40), (2, 20), (3, 10), (4, 0)):
        alive = [MINUTE_US if series < gone else 0 for series in range(4)]
        identities = identities.forget(pl.Series(alive), pl.Series([True] * 4))
        assert len(identities) == left


def test_packed_identities_take_little() -> None:
    rows = frame([(n % 100, n // 9_000, n % 9_000 * 5_000, n) for n in range(90_000)])
    identities = Identities(packed_at=9_000).add(rows)
    packed = sum(len(p.data) for b in identities.buckets.values() for p in b.packed)
    assert len(identities) == 90_000
    assert packed < 5 * 90_000


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
