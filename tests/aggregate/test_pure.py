"""The parts of the engine that need no broker: offset metadata, clocks, latencies."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl
import pytest

from homma.aggregate.clock import PartitionClock
from homma.aggregate.group import announcement, check_members
from homma.aggregate.latency import Arrivals
from homma.aggregate.restore import incomplete_candles
from homma.core.calendar import DEFAULT_CODES, calendar_of
from homma.core.interval import BY_CODE
from homma.errors import KafkaError, StateError
from homma.formats import CURRENT, format_of_headers
from homma.metrics import AGGREGATE, SECONDS, Metric, Metrics
from homma.partitions.alignment import WatermarkAlignment
from homma.partitions.members import wait_for_members
from homma.partitions.origin import RecordOrigin
from homma.topics.offset_metadata import (
    ForwardMetadata,
    OffsetMetadata,
    candle_headers,
    read_forward_metadata,
    read_offset_metadata,
)

METADATA = OffsetMetadata(
    run="r",
    lastTicksBefore=7,
    recallFrom=3,
    clock=5,
    candlesFrom=dict.fromkeys(DEFAULT_CODES, 1),
    began=dict.fromkeys(DEFAULT_CODES, 2),
    begin={},
    topicId="id",
    price="mid",
    intervals=DEFAULT_CODES,
)
FORMAT_1 = (
    '{"run":"r","lastTicksBefore":7,"recallFrom":3,"clock":5,"candlesFrom":[1,1,1,1,1,1,1,1,1,1,1],'
    '"began":[2,2,2,2,2,2,2,2,2,2,2],"begin":%s,"topicId":"id","price":"mid"}'
)


# --- offset metadata --------------------------------------------------------------------------
def test_offset_metadata_round_trips() -> None:
    assert read_offset_metadata(METADATA.text(), "here") == METADATA
    some = replace(METADATA, intervals=("s5", "m1"), begin={"s5": 9}, began={"s5": 1, "M1": 2})
    assert read_offset_metadata(some.text(), "here") == some
    assert json.loads(some.text())["format"] == CURRENT


def test_offset_metadata_of_all_intervals_is_small_enough_for_the_broker() -> None:
    each = dict.fromkeys(BY_CODE, 1 << 62)
    long = OffsetMetadata(
        "r" * 12, 1 << 62, 1 << 62, 1 << 62, each, each, each, "i" * 22, "mid", tuple(BY_CODE)
    )
    assert len(long.text()) < 4096


@pytest.mark.parametrize("begin", [None, 11])
def test_format_1_is_upgraded_and_can_be_written(begin: int | None) -> None:
    text = FORMAT_1 % json.dumps(begin)
    begins = {} if begin is None else dict.fromkeys(DEFAULT_CODES, begin)
    upgraded = read_offset_metadata(text, "here")
    assert upgraded == replace(METADATA, begin=begins)
    assert upgraded.text(1) == text
    assert read_offset_metadata(upgraded.text(), "here") == upgraded


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"intervals": ("m1",)}, "format 1 has the intervals m1,m5.* only, but --intervals is m1;"),
        ({"begin": {"m5": 1}}, "format 1 cannot describe that candles of m5 are left to homma rep"),
        ({"begin": {**dict.fromkeys(DEFAULT_CODES, 1), "M1": 2}}, "format 1 cannot describe"),
    ],
)
def test_what_format_1_cannot_describe_is_not_written_in_it(
    change: dict[str, Any], error: str
) -> None:
    with pytest.raises(StateError, match=rf"{error}.*without --write-format 1"):
        replace(METADATA, **change).text(1)


@pytest.mark.parametrize("read", [read_offset_metadata, read_forward_metadata])
@pytest.mark.parametrize(
    "text", [METADATA.text(CURRENT + 1), f'{{"format":{CURRENT + 1},"other":[]}}']
)
def test_a_newer_format_is_refused(text: str, read: Callable[[str, str], object]) -> None:
    with pytest.raises(StateError) as raised:
        read(text, "here")
    assert str(raised.value) == (
        f"the committed offset of here was written by a newer homma (format {CURRENT + 1}; this "
        f"homma reads up to {CURRENT}); upgrade this homma"
    )


@pytest.mark.parametrize("version", [1, 2])
def test_the_header_of_a_candle_has_its_format(version: int) -> None:
    headers = dict(candle_headers("r", 7, version))
    assert headers.get("format") == (None if version == 1 else "2")
    assert format_of_headers(headers, "a candle") == version


@pytest.mark.parametrize("text", [b"json", b"", b"0", b"1.5", b"\xff", None])
def test_a_format_header_of_another_program_is_ignored(text: bytes | None) -> None:
    assert format_of_headers({"format": text}, "a candle") == 1


@pytest.mark.parametrize("text", ["", "{}", "x", "[]", '{"run":1}'])
@pytest.mark.parametrize("read", [read_offset_metadata, read_forward_metadata])
def test_foreign_metadata_is_refused(text: str, read: Callable[[str, str], object]) -> None:
    with pytest.raises(StateError, match=r"of here was not written by homma.*--rebuild"):
        read(text, "here")


def test_rekey_metadata_round_trips() -> None:
    metadata = ForwardMetadata(7, "source", "target")
    assert read_forward_metadata(metadata.text(), "here") == metadata


def test_partitions_wait_for_the_partition_that_is_behind() -> None:
    alignment = WatermarkAlignment(max_drift_us=10)
    assert alignment.limit_us == math.inf
    alignment.advance(0, newest_us=1_000, oldest_us=900)
    alignment.advance(1, newest_us=50, oldest_us=math.inf)
    assert alignment.limit_us == 60
    # At its end, with waiting ticks.
    alignment.advance(1, newest_us=math.inf, oldest_us=50)
    assert alignment.limit_us == 60
    alignment.advance(1, newest_us=math.inf, oldest_us=math.inf)
    assert alignment.limit_us == 910
    alignment.forget(0)
    assert alignment.limit_us == math.inf


def test_a_rejected_record_keeps_its_headers() -> None:
    sent = RecordOrigin("t", 2, 9, b"key", [("a", b"1"), ("error", b"original")])
    assert sent.rejected_headers("reason") == [
        ("a", b"1"),
        ("error", b"original"),
        ("error", "reason"),
        ("topic", "t"),
        ("partition", "2"),
        ("offset", "9"),
    ]


def test_before_the_end_the_clock_is_the_largest_timestamp() -> None:
    clock = PartitionClock().after_record(50, 1_000).after_record(40, 2_000)
    assert clock.now_us(9_000) == 50


def test_at_the_end_the_clock_runs_and_never_goes_back() -> None:
    clock = PartitionClock().after_record(50, 1_000).at_end(2_000)
    assert clock.now_us(2_030) == 80
    assert clock.at_end(2_020).now_us(2_030) == 80
    # After an older record, the clock waits until Kafka's time has caught up.
    assert clock.after_record(60, 2_030).now_us(9_999) == 80
    assert clock.after_record(90, 2_030).now_us(9_999) == 90


def test_a_monotonic_clock_that_goes_back_is_ignored() -> None:
    assert PartitionClock().after_record(50, 1_000).at_end(2_000).now_us(1_000) == 50


def test_latencies_are_counted_by_histogram_bucket() -> None:
    arrivals = Arrivals().add(pl.Series([0, 990_000])).add(pl.Series([-100_000_000]))
    counts, sum_s = arrivals.histogram(1_000_000)
    filled = {edge: count for edge, count in zip((*SECONDS, None), counts, strict=True) if count}
    # 1 s, 10 ms and 101 s: an edge belongs to the bucket below it.
    assert filled == {1: 1, 0.01: 1, None: 1}
    assert sum_s == pytest.approx(102.01)
    assert sum(Arrivals().histogram(1)[0]) == 0


def test_a_bulk_histogram_is_exported_like_any_other() -> None:
    metrics = Metrics([Metric("waits", "bulk histogram", "waiting time")])
    metrics.observe_all("waits", [1, 0, 2] + [0] * (len(SECONDS) - 2), 0.5)
    value = metrics.registry.get_sample_value
    assert value("waits_bucket", {"le": str(SECONDS[0])}) == 1
    assert value("waits_bucket", {"le": str(SECONDS[2])}) == 3
    assert value("waits_bucket", {"le": "+Inf"}) == 3
    assert value("waits_sum") == 0.5


def test_no_metric_has_a_label_per_symbol() -> None:
    assert {label for row in AGGREGATE for label in row.labels} <= {
        "interval",
        "partition",
        "outcome",
    }


def test_a_rebuild_lists_the_candles_it_cannot_build() -> None:
    at = 1_742_481_088_000_000  # 2025-03-20T14:31:28
    starts = dict(incomplete_candles(dict.fromkeys(DEFAULT_CODES, at)))
    assert tuple(starts) == DEFAULT_CODES
    assert starts["m1"] == at - 28_000_000
    # An interval that starts exactly there is complete.
    midnight = 1_742_428_800_000_000
    codes = [code for code, _ in incomplete_candles(dict.fromkeys(DEFAULT_CODES, midnight))]
    assert codes == ["W1", "M1"]
    # Without deleted ticks, every candle is complete.
    assert incomplete_candles({}) == []


# --- the group --------------------------------------------------------------------------------
def test_members_with_other_intervals_are_refused() -> None:
    ours, theirs = calendar_of(["m1", "s5"]), calendar_of(["m1"])
    others = ["rdkafka", "homma", "", "homma-reader", "a homma without", "sarama homma m1 x"]
    for own in (announcement(ours), f"mine {announcement(ours)}"):
        check_members([*others, own], ours, "group")
    for other in (announcement(theirs), f"mine {announcement(theirs)}"):
        with pytest.raises(StateError) as raised:
            check_members([*others, announcement(ours), other], ours, "group")
        assert str(raised.value) == (
            "a running engine of group group has the intervals m1, but --intervals is s5,m1; stop "
            "all engines of the group, then start them with the same --intervals"
        )


def test_a_member_that_leaves_is_awaited() -> None:
    calls = iter([StateError("problem", "remedy"), None])

    def check() -> None:
        if (error := next(calls)) is not None:
            raise error

    wait_for_members(check, 60_000, lambda: False)
    assert list(calls) == []


def test_a_member_that_stays_is_an_error() -> None:
    refuse = partial(_raise, StateError("problem", "remedy"))
    with pytest.raises(StateError, match="problem"):
        wait_for_members(refuse, -1_000, lambda: False)
    # A stopped engine waits for nobody.
    wait_for_members(refuse, -1_000, lambda: True)


def test_unknown_members_are_not_awaited() -> None:
    wait_for_members(partial(_raise, KafkaError("problem", "remedy")), 60_000, lambda: False)


def _raise(error: Exception) -> None:
    raise error
