"""Which files are put together."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from homma.lake import compaction
from homma.lake.table import Part

HOUR_US = 3_600_000_000


def part(number: int, partition: str, rows: int, hour: int) -> Part:
    task: Any = None
    return Part(f"f{number}", partition, rows, rows * 20, hour * HOUR_US, task)


def some(count: int, partition: str, rows: int, hour: int) -> list[Part]:
    return [part(hour * 1000 + n, partition, rows, hour) for n in range(count)]


NOW = some(1, "day2", 100, 30)


def test_a_partition_that_is_over_is_put_together() -> None:
    assert compaction.next_group([]) == []
    assert compaction.next_group(some(3, "day1", 100, 5) + NOW) == []
    old = some(4, "day1", 100, 5)
    assert set(compaction.next_group(old + NOW)) == set(old)


def test_of_an_open_partition_only_what_is_old_and_many() -> None:
    assert compaction.next_group(some(31, "day2", 100, 5) + NOW) == []
    assert compaction.next_group(some(32, "day2", 100, 30) + NOW) == []
    assert len(compaction.next_group(some(32, "day2", 100, 5) + NOW)) == 32


def test_a_large_file_is_not_written_again_for_a_few_rows() -> None:
    large = some(1, "day1", 200_000, 5)
    small = some(5, "day1", 100, 6)
    assert set(compaction.next_group(large + small + NOW)) == set(small)
    assert compaction.next_group(some(9, "day1", compaction.SMALL_ROWS, 5) + NOW) == []


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["day1", "day2"]), st.integers(1, 400_000), st.integers(0, 40)),
        max_size=60,
    )
)
def test_it_comes_to_an_end_with_few_files(members: list[tuple[str, int, int]]) -> None:
    parts = [part(n, *member) for n, member in enumerate(members)]
    rows = sum(p.rows for p in parts)
    rounds = 0
    while group := compaction.next_group(parts):
        assert sum(p.rows for p in group) <= compaction.GROUP_ROWS
        assert len({p.partition for p in group}) == 1
        merged = Part(
            f"m{rounds}",
            group[0].partition,
            sum(p.rows for p in group),
            1,
            max(p.newest_us for p in group),
            group[0]._task,
        )
        parts = [p for p in parts if p not in group] + [merged]
        rounds += 1
    assert rounds <= len(members)
    assert sum(p.rows for p in parts) == rows
