"""1.1 million real quotes give another vendor's bars, even after kill -9."""

import signal
import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.pipeline import Pipeline, batch_candles, same_candles
from tests.support.real_ticks import ALL_BARS, disturbed, equal_bars, needs_real_ticks, real_ticks

FOUR_MINUTES_US = 240_000_000
KILLS = 5


@needs_real_ticks
@pytest.mark.parametrize("price", ["bid", "ask"])
def test_candles_equal_the_vendors_bars(bootstrap: str, price: str) -> None:
    pipeline = Pipeline(bootstrap)
    ticks = real_ticks()
    sent = disturbed(ticks, FOUR_MINUTES_US, 0.01, seed=1)
    pipeline.send_frame(sent)
    pipeline.work_off(price=price)
    candles = pipeline.candles()
    assert equal_bars(candles, price) == ALL_BARS
    same_candles(candles, batch_candles(ticks, price))
    assert pipeline.counted("homma_ticks_duplicate") == sent.height - ticks.height
    assert pipeline.counted("homma_ticks_dropped_late") == pipeline.counted("homma_ticks_dead") == 0


def committed(client: AdminClient, pipeline: Pipeline) -> int:
    position = TopicPartition(pipeline.topics.ticks, 0)
    group = ConsumerGroupTopicPartitions(pipeline.settings.group, [position])
    future = client.list_consumer_group_offsets([group])[pipeline.settings.group]
    [committed_position] = future.result(10).topic_partitions
    return max(0, int(committed_position.offset))


@needs_real_ticks
def test_five_kills_change_nothing(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    ticks = real_ticks()
    sent = disturbed(ticks, FOUR_MINUTES_US, 0.01, seed=2)
    pipeline.send_frame(sent)
    client = AdminClient(pipeline.config)
    killed_at = [0]
    for kill in range(1, KILLS + 1):
        process = pipeline.process("--emit-every", "50ms", "--price", "bid")
        try:
            while committed(client, pipeline) < kill * sent.height // (KILLS + 2):
                assert process.poll() is None, "the engine exited on its own"
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed_at.append(committed(client, pipeline))
    # Each kill hit a working engine, further ahead than the last one.
    assert killed_at == sorted(set(killed_at))
    assert killed_at[-1] < sent.height
    pipeline.work_off(price="bid")
    candles = pipeline.candles()
    assert equal_bars(candles, "bid") == ALL_BARS
    same_candles(candles, batch_candles(ticks, "bid"))
