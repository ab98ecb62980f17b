"""Identities compared with a plain set."""

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homma.core.identity import Identities
from homma.core.interval import MINUTE_US
from tests.support.effort import effort

#: (series, minute, microsecond in the minute, number)
Identity = tuple[int, int, int, int]
SERIES = 3
IDENTITIES = st.tuples(
    st.integers(0, SERIES - 1),
    st.integers(0, 4),
    st.sampled_from([0, 1, MINUTE_US - 1]),
    st.integers(0, 2),
)
BATCHES = st.lists(st.lists(IDENTITIES, unique=True, max_size=6), max_size=8)
NEEDED_FROM = st.lists(st.integers(0, 5), min_size=SERIES, max_size=SERIES)
ACTIVE = st.lists(st.booleans(), min_size=SERIES, max_size=SERIES)


def frame(identities: Sequence[Identity], first_offset: int = 0) -> pl.DataFrame:
    rows = [
        (series, minute * MINUTE_US + within, number, first_offset + n)
        for n, (series, minute, within, number) in enumerate(identities)
    ]
    schema = {"series": pl.UInt32, "event_us": pl.Int64, "number": pl.Int64, "offset": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def known(identities: Identities, queries: Sequence[Identity]) -> set[int]:
    matches = identities.known(frame(queries)) if queries else frame([])
    assert matches.columns == frame([]).columns
    return set(matches["offset"])


@effort(2)
@given(
    BATCHES, st.lists(IDENTITIES, max_size=20), NEEDED_FROM, ACTIVE, st.sampled_from([1, 3, 100])
)
def test_identities_equal_a_plain_set(
    batches: list[list[Identity]],
    queries: list[Identity],
    needed_from: list[int],
    active: list[bool],
    pack_size: int,
) -> None:
    """Added identities are known until forgotten, and recalled from their smallest offset."""
    identities = Identities(pack_size=pack_size)
    offsets: dict[Identity, int] = {}
    for batch in batches:
        new = [identity for identity in batch if identity not in offsets]
        before = identities
        size = len(before)
        identities = identities.add(frame(new, len(offsets)))
        assert len(before) == size, "an older value has changed"
        offsets |= {identity: len(offsets) + n for n, identity in enumerate(new)}
        assert len(identities) == len(offsets)
    expected = {n for n, identity in enumerate(queries) if identity in offsets}
    assert known(identities, queries) == expected
    assert identities.recall_from(999) == min(offsets.values(), default=999)

    needed_from_us = pl.Series([minute * MINUTE_US for minute in needed_from], dtype=pl.Int64)
    retained = identities.forget(needed_from_us, pl.Series(active))
    needed = {identity for identity in offsets if identity[1] >= needed_from[identity[0]]}
    matches = known(retained, queries)
    assert matches >= {n for n, identity in enumerate(queries) if identity in needed}
    # Packs may be retained for a while although their ticks would be dropped as late.
    allowed = needed if pack_size == 100 else offsets
    assert matches <= {n for n, identity in enumerate(queries) if identity in allowed}
    assert len(needed) <= len(retained) <= len(allowed)
    assert bool(len(retained)) == bool(needed)
    assert known(identities, queries) == expected
    active_offsets = [offsets[identity] for identity in needed if active[identity[0]]]
    assert retained.recall_from(999) <= min(active_offsets, default=999)


def test_a_pack_is_dropped_once_half_of_its_series_are_not_needed() -> None:
    """Otherwise one stalled series would keep the ticks of all the others."""
    rows = [(series, 0, n, n) for series in range(4) for n in range(10)]
    identities = Identities(pack_size=5).add(frame(rows))
    for unneeded, count in ((1, 40), (2, 20), (3, 10), (4, 0)):
        needed_from = [MINUTE_US if series < unneeded else 0 for series in range(4)]
        identities = identities.forget(pl.Series(needed_from), pl.Series([True] * 4))
        assert len(identities) == count


def test_packed_identities_take_little_memory() -> None:
    rows = frame([(n % 100, n // 9_000, n % 9_000 * 5_000, n) for n in range(90_000)])
    identities = Identities(pack_size=9_000).add(rows)
    size = sum(len(pack.data) for b in identities.buckets.values() for pack in b.packs)
    assert len(identities) == 90_000
    assert size < 5 * 90_000


def test_many_small_batches_of_one_minute() -> None:
    """More batches than a bucket keeps chunks."""
    identities = Identities()
    for n in range(200):
        identities = identities.add(frame([(0, 0, 0, n)], n))
    assert len(identities) == 200
    assert known(identities, [(0, 0, 0, n) for n in range(300)]) == set(range(200))
    assert identities.recall_from(999) == 0


def test_only_dormant_series_are_not_recalled() -> None:
    both = Identities().add(frame([(0, 0, 0, 1)], 10)).add(frame([(1, 2, 0, 1)], 20))
    needed_from = pl.Series([0, 3 * MINUTE_US, 3 * MINUTE_US], dtype=pl.Int64)
    assert both.forget(needed_from, pl.Series([False, True, True])).recall_from(999) == 999
    assert both.forget(needed_from, pl.Series([True, True, True])).recall_from(999) == 10
    woken = both.forget(needed_from, pl.Series([False, True, True])).add(frame([(0, 0, 1, 5)], 30))
    assert woken.recall_from(999) == 10
