"""What a restart restores, and when it refuses to continue."""

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from homma.errors import SplitSeries, StateError, TopicMismatch
from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import GroupOffsets
from homma.topics.kafka.writing import Sender
from tests.aggregate.restarts import SHORT, reset
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick, until

DAY = "2025-03-20T"


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap)


def test_a_restart_continues_open_candles(pipeline: Pipeline) -> None:
    ticks = [
        tick(f"{DAY}14:{m:02}:{s:02}", m + s / 100, m * 60 + s) for m in (30, 31) for s in (5, 50)
    ]
    for single in ticks:
        pipeline.send(single)
        pipeline.work_off()
    same_candles(pipeline.candles(), batch_candles(ticks))
    records = pipeline.records(*pipeline.topics.candles.values())
    runs = {dict(m.headers() or [])["run"] for m in records}
    assert len(runs) == 1


def test_a_dormant_series_is_restored_when_it_wakes(pipeline: Pipeline) -> None:
    first = tick(DAY + "14:30:10", 10, 7)
    pipeline.send(first)
    pipeline.work_off(**SHORT)
    time.sleep(1.5)
    other = tick(DAY + "14:30:00", 1, 1, "BBB")
    pipeline.send(other)
    pipeline.work_off(**SHORT)
    late = tick(DAY + "14:30:05", 20, 6)
    pipeline.send(first, late)
    pipeline.work_off(**SHORT)
    same_candles(pipeline.candles(), batch_candles([first, other, late]))
    assert pipeline.counted("homma_ticks_duplicate") == 1
    assert pipeline.counted("homma_ticks_dropped_late") == 0


def test_the_open_transaction_of_a_predecessor_is_aborted(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10", 10, 1))
    pipeline.work_off()
    predecessor = pipeline.foreign_transaction()
    predecessor.init()
    predecessor.begin()
    for topic in pipeline.topics.candles.values():
        predecessor.send(topic, 0, [b"{}"], [b"never seen"], [0], [[("run", b"other")]])
    time.sleep(0.5)
    pipeline.send(tick(DAY + "14:30:20", 11, 2))
    pipeline.work_off()
    assert pipeline.candle("m1", DAY + "14:30:00")["volume"] == 2
    predecessor.close()


def test_two_engines_share_partitions_and_hand_them_over(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=4)
    ticks: list[dict[str, Any]] = []

    def feed(minute: int) -> None:
        batch = [tick(f"{DAY}14:{minute:02}:00", minute + n, minute, f"SYM{n}") for n in range(16)]
        pipeline.send(*batch)
        ticks.extend(batch)

    def counted() -> bool:
        return int(pipeline.candles().filter(interval="D1")["volume"].sum()) == len(ticks)

    often = {"emit_every": timedelta(milliseconds=100)}
    with pipeline.running(**often):
        feed(30)
        until(counted)
        with pipeline.running(**often):
            feed(31)
            until(counted)
            feed(32)
        feed(33)
        until(counted)
    same_candles(pipeline.candles(), batch_candles(ticks))


def test_candles_without_an_offset_are_refused(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    with pytest.raises(StateError, match=r"no committed offset.*--rebuild"):
        pipeline.work_off(group=pipeline.name + "_other")


def test_an_offset_that_does_not_match_the_candles_is_refused(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"), tick(DAY + "14:30:20", number=2))
    pipeline.work_off()
    # As from a backup: the metadata is from homma.
    reader = GroupOffsets(pipeline.config, pipeline.settings.group, pipeline.topics.ticks)
    committed = reader.committed(0)
    assert committed is not None
    reader.close()
    reset(pipeline, committed.offset - 1, committed.metadata)
    with pytest.raises(StateError, match=r"is 1, but .* before offset 2; set the offset back to 2"):
        pipeline.work_off()


def test_candles_of_another_run_are_refused(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    pipeline.work_off(group=pipeline.name + "_other", rebuild=True)
    pipeline.send(tick(DAY + "14:30:20", number=2))
    with pytest.raises(StateError, match=r"candles of another run.*--rebuild"):
        pipeline.work_off()


def test_a_reset_group_is_refused(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    reset(pipeline, 0)
    with pytest.raises(StateError, match=r"not written by homma.*--rebuild"):
        pipeline.work_off()


def test_a_recreated_topic_is_refused(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    client = AdminClient(pipeline.config)
    client.delete_topics([pipeline.topics.ticks])[pipeline.topics.ticks].result(10)
    until(lambda: pipeline.topics.ticks not in Admin(pipeline.config).partitions())
    time.sleep(1)
    Admin(pipeline.config).ensure(contract.specs(pipeline.topic_settings, 1), 1)
    pipeline.send(tick(DAY + "14:31:10"), tick(DAY + "14:32:10"))
    with pytest.raises(StateError, match="created again"):
        pipeline.work_off()


def drop_before(pipeline: Pipeline, offset: int) -> None:
    position = TopicPartition(pipeline.topics.ticks, 0, offset)
    client = AdminClient(pipeline.config)
    for future in client.delete_records([position]).values():
        future.result(10)


def test_ticks_lost_before_they_were_read_are_not_skipped(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    pipeline.send(tick(DAY + "14:31:10"), tick(DAY + "14:32:10"))
    drop_before(pipeline, 2)
    with pytest.raises(StateError, match=r"1 ticks of .* deleted by retention"):
        pipeline.work_off()


def test_another_price_is_refused(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    with pytest.raises(StateError, match=r"built from mid.*--price mid"):
        pipeline.work_off(price="bid")


def test_a_candle_of_another_engine_is_refused(pipeline: Pipeline) -> None:
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    [record] = pipeline.records(pipeline.topics.candles["m1"])
    producer = Producer(pipeline.config)
    producer.produce(pipeline.topics.candles["m1"], record.value(), record.key())
    producer.flush(10)
    with pytest.raises(StateError, match="candles of another run or engine"):
        pipeline.work_off()


def test_a_rebuild_starts_again(pipeline: Pipeline) -> None:
    ticks = [tick(DAY + "14:30:10", 10, 1), tick(DAY + "14:31:10", 11, 2)]
    pipeline.send(*ticks)
    pipeline.work_off()
    pipeline.work_off(rebuild=True, price="bid")
    same_candles(pipeline.candles(), batch_candles(ticks, "bid"))
    more = tick(DAY + "14:31:20", 12, 3)
    pipeline.send(more)
    pipeline.work_off(price="bid")
    same_candles(pipeline.candles(), batch_candles([*ticks, more], "bid"))


def test_a_rebuild_keeps_candles_whose_ticks_were_deleted(pipeline: Pipeline) -> None:
    deleted = tick("2025-03-19T10:00:00", 50, 1)
    remaining = [tick(DAY + "14:30:10", 10, 2), tick(DAY + "14:31:10", 11, 3)]
    pipeline.send(deleted, *remaining)
    pipeline.work_off()
    drop_before(pipeline, 1)
    pipeline.work_off(rebuild=True)
    # The week and the month still include the deleted tick; the minutes are built again.
    assert pipeline.candle("M1", "2025-03-01T00:00:00")["volume"] == 3
    assert pipeline.candle("W1", "2025-03-17T00:00:00")["high"] == 50
    more = tick(DAY + "14:31:20", 12, 4)
    pipeline.send(more)
    pipeline.work_off()
    assert pipeline.candle("m1", DAY + "14:31:00")["volume"] == 2
    assert pipeline.candle("M1", "2025-03-01T00:00:00")["volume"] == 3
    after = tick("2025-04-01T00:00:01", 13, 5)
    pipeline.send(after)
    pipeline.work_off()
    assert pipeline.candle("M1", "2025-04-01T00:00:00")["volume"] == 1


def test_a_series_in_two_partitions_stops_the_engine(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=2)
    sender = Sender(pipeline.config)
    for key in (b"one", b"two", b"three", b"four"):
        sender.send(pipeline.topics.ticks, [key], [json.dumps(tick(DAY + "14:30:10")).encode()])
    sender.flush(10)
    with pytest.raises(SplitSeries, match=r"series S:AAA of .* is in partitions"):
        pipeline.work_off()


def test_a_topic_with_another_partition_count_is_refused(pipeline: Pipeline) -> None:
    other: TopicSettings = replace(pipeline.topic_settings)
    with pytest.raises(TopicMismatch, match=r"has 1 partitions, but 2 are needed"):
        Admin(pipeline.config).ensure(contract.specs(other, 2), 1)
