"""Which files are compacted."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from homma.lake.land.iceberg import compaction
from homma.lake.table import Part

HOUR_US = 3_600_000_000


def part(number: int, partition: str, rows: int, hour: int) -> Part:
    task: Any = None
    return Part(f"f{number}", partition, rows, rows * 20, hour * HOUR_US, task)


def parts_of(count: int, partition: str, rows: int, hour: int) -> list[Part]:
    return [part(hour * 1000 + n, partition, rows, hour) for n in range(count)]


NOW = parts_of(1, "day2", 100, 30)


def test_a_past_partition_is_compacted() -> None:
    assert compaction.next_group([]) == []
    assert compaction.next_group(parts_of(3, "day1", 100, 5) + NOW) == []
    old = parts_of(4, "day1", 100, 5)
    assert set(compaction.next_group(old + NOW)) == set(old)


def test_the_current_partition_is_compacted_only_if_files_are_old_and_many() -> None:
    assert compaction.next_group(parts_of(31, "day2", 100, 5) + NOW) == []
    assert compaction.next_group(parts_of(32, "day2", 100, 30) + NOW) == []
    assert len(compaction.next_group(parts_of(32, "day2", 100, 5) + NOW)) == 32


def test_a_large_file_is_not_rewritten_for_a_few_rows() -> None:
    large = parts_of(1, "day1", 200_000, 5)
    small = parts_of(5, "day1", 100, 6)
    assert set(compaction.next_group(large + small + NOW)) == set(small)
    assert compaction.next_group(parts_of(9, "day1", compaction.MAX_SMALL_ROWS, 5) + NOW) == []


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["day1", "day2"]), st.integers(1, 400_000), st.integers(0, 40)),
        max_size=60,
    )
)
def test_compaction_ends_with_few_files(members: list[tuple[str, int, int]]) -> None:
    parts = [part(n, *member) for n, member in enumerate(members)]
    rows = sum(p.rows for p in parts)
    rounds = 0
    while group := compaction.next_group(parts):
        assert sum(p.rows for p in group) <= compaction.MAX_GROUP_ROWS
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
