"""A series may be in one partition only."""

import polars as pl
import pytest

from homma.core.series_partitions import SeriesPartitions
from homma.errors import SplitSeries


def rows(*series: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [("S", symbol, partition) for symbol, partition in series],
        schema=["source", "symbol", "partition"],
        orient="row",
    )


def test_series_of_one_partition_each_are_whole() -> None:
    partitions = SeriesPartitions()
    partitions.require_unsplit(rows(("A", 0), ("B", 3), ("A", 0)), "ticks")
    partitions.require_unsplit(rows(("B", 3)), "ticks")
    assert partitions.by_series == {("S", "A"): 0, ("S", "B"): 3}
    assert not partitions.is_split(("S", "A"))


@pytest.mark.parametrize("batches", [[("A", 0), ("A", 3)], [("A", 0), ("A", 0), ("A", 3)]])
def test_a_series_in_two_partitions_is_refused(batches: list[tuple[str, int]]) -> None:
    expected = r"series S:A of ticks is in partitions 0 and 3, .* --rekey --rebuild"
    with pytest.raises(SplitSeries, match=expected):
        SeriesPartitions().require_unsplit(rows(*batches), "ticks")
    partitions = SeriesPartitions()
    partitions.require_unsplit(rows(*batches[:-1]), "ticks")
    with pytest.raises(SplitSeries, match=expected):
        partitions.require_unsplit(rows(batches[-1]), "ticks")


def test_a_split_series_stays_split() -> None:
    partitions = SeriesPartitions()
    for partition in (0, 3, 0):
        partitions.add(("S", "A"), partition)
    assert partitions.is_split(("S", "A"))
    assert not partitions.is_split(("S", "B"))


def test_the_series_of_a_revoked_partition_may_come_back_in_another_one() -> None:
    partitions = SeriesPartitions()
    partitions.require_unsplit(rows(("A", 0), ("B", 1)), "ticks")
    partitions.forget(0)
    partitions.require_unsplit(rows(("A", 1)), "ticks")
    assert partitions.by_series == {("S", "A"): 1, ("S", "B"): 1}
