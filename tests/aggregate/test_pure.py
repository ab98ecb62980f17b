"""The parts of the engine that need no broker: marks, clocks, latencies."""

import math
from collections.abc import Callable

import polars as pl
import pytest

from homma.aggregate.clock import PartitionClock
from homma.aggregate.latency import Arrivals
from homma.aggregate.origin import RecordOrigin
from homma.aggregate.rekey import WatermarkAlignment
from homma.aggregate.restore import left_alone
from homma.core.interval import FINEST, INTERVALS
from homma.core.series import BEFORE_ALL_US
from homma.errors import StateError
from homma.metrics import AGGREGATE, SECONDS, Metric, Metrics
from homma.topics.offset_metadata import (
    OffsetMetadata,
    RekeyMetadata,
    read_offset_metadata,
    read_rekey_metadata,
)

MARK = OffsetMetadata("r", 7, 3, 5, (1,) * 11, (0,) * 11, None, "id", "mid")


def test_a_mark_comes_back_as_it_was() -> None:
    assert read_offset_metadata(MARK.text(), "here") == MARK
    # The broker's limit for the metadata of an offset.
    long = OffsetMetadata(
        "r" * 12,
        1 << 62,
        1 << 62,
        1 << 62,
        (1 << 62,) * 11,
        (1 << 62,) * 11,
        1 << 62,
        "i" * 22,
        "mid",
    )
    assert len(long.text()) < 4096


@pytest.mark.parametrize("text", ["", "{}", "x", "[]", '{"run":1}'])
@pytest.mark.parametrize("read", [read_offset_metadata, read_rekey_metadata])
def test_another_metadata_is_refused(text: str, read: Callable[[str, str], object]) -> None:
    with pytest.raises(StateError, match=r"of here has not been written by homma.*--rebuild"):
        read(text, "here")


def test_the_mark_of_ticks_sent_on_comes_back_as_it_was() -> None:
    mark = RekeyMetadata(7, "from", "onto")
    assert read_rekey_metadata(mark.text(), "here") == mark


def test_partitions_wait_for_the_one_that_is_behind() -> None:
    front = WatermarkAlignment(ahead_us=10)
    assert front.limit_us == math.inf
    front.advance(0, newest_us=1_000, oldest_us=900)
    front.advance(1, newest_us=50, oldest_us=math.inf)
    assert front.limit_us == 60
    # Read to its end, with ticks that wait.
    front.advance(1, newest_us=math.inf, oldest_us=50)
    assert front.limit_us == 60
    front.advance(1, newest_us=math.inf, oldest_us=math.inf)
    assert front.limit_us == 910
    front.forget(0)
    assert front.limit_us == math.inf


def test_a_refused_record_keeps_its_headers() -> None:
    came = RecordOrigin("t", 2, 9, b"key", [("a", b"1"), ("error", b"its own")])
    assert came.refused("why") == [
        ("a", b"1"),
        ("error", b"its own"),
        ("error", "why"),
        ("topic", "t"),
        ("partition", "2"),
        ("offset", "9"),
    ]


def test_before_the_end_the_clock_stands_at_the_largest_timestamp() -> None:
    clock = PartitionClock().read(50, 1_000).read(40, 2_000)
    assert clock.now_us(9_000) == 50


def test_at_the_end_it_runs_on_and_never_back() -> None:
    clock = PartitionClock().read(50, 1_000).at_end(2_000)
    assert clock.now_us(2_030) == 80
    assert clock.at_end(2_020).now_us(2_030) == 80
    # A record from before what it has run on to: it stands until Kafka's time is there again.
    assert clock.read(60, 2_030).now_us(9_999) == 80
    assert clock.read(90, 2_030).now_us(9_999) == 90


def test_the_machines_clock_may_not_run_back() -> None:
    assert PartitionClock().read(50, 1_000).at_end(2_000).now_us(1_000) == 50


def test_latencies_fall_into_the_histograms_buckets() -> None:
    arrivals = Arrivals().with_(pl.Series([0, 990_000])).with_(pl.Series([-100_000_000]))
    counts, sum_s = arrivals.since(1_000_000)
    found = {edge: count for edge, count in zip((*SECONDS, None), counts, strict=True) if count}
    # 1 s, 10 ms and 101 s: an edge belongs to the bucket below it.
    assert found == {1: 1, 0.01: 1, None: 1}
    assert sum_s == pytest.approx(102.01)
    assert sum(Arrivals().since(1)[0]) == 0


def test_a_bulk_histogram_reads_like_any_other() -> None:
    metrics = Metrics([Metric("waits", "bulk histogram", "how long")])
    metrics.observe_all("waits", [1, 0, 2] + [0] * (len(SECONDS) - 2), 0.5)
    value = metrics.registry.get_sample_value
    assert value("waits_bucket", {"le": str(SECONDS[0])}) == 1
    assert value("waits_bucket", {"le": str(SECONDS[2])}) == 3
    assert value("waits_bucket", {"le": "+Inf"}) == 3
    assert value("waits_sum") == 0.5


def test_no_metric_has_a_label_by_symbol() -> None:
    assert {label for row in AGGREGATE for label in row.labels} <= {
        "interval",
        "partition",
        "outcome",
    }


def test_a_rebuild_names_the_candles_it_leaves_alone() -> None:
    at = 1_742_481_088_000_000  # 2025-03-20T14:31:28
    starts = dict(left_alone(at))
    assert list(starts) == list(range(len(INTERVALS)))
    assert starts[FINEST] == at - 28_000_000
    # Exactly at an interval's start nothing of it is missing.
    midnight = 1_742_428_800_000_000
    names = [INTERVALS[code].name for code, _ in left_alone(midnight)]
    assert names == ["1week", "1month"]
    # Nothing is gone, nothing is left alone.
    assert left_alone(BEFORE_ALL_US) == []
