"""Engines that are killed one after the other, while they work."""

import signal
import time

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from homma.topics.kafka.reading import GroupOffsets
from tests.support.pipeline import Pipeline

KILLS = 5


def committed(client: AdminClient, pipeline: Pipeline) -> int:
    """The committed offset, which a consumer does not get while a transaction is open."""
    position = TopicPartition(pipeline.topics.ticks, 0)
    group = ConsumerGroupTopicPartitions(pipeline.settings.group, [position])
    future = client.list_consumer_group_offsets([group])[pipeline.settings.group]
    [committed_position] = future.result(10).topic_partitions
    return max(0, int(committed_position.offset))


def kill_engines(pipeline: Pipeline, ticks: int, price: str) -> None:
    """Start five engines for the ticks sent, and kill -9 each while it works."""
    # An AdminClient fails, and may crash, if it asks while the coordinator of the group loads. A
    # consumer waits for that.
    offsets = GroupOffsets(pipeline.config, pipeline.settings.group, pipeline.topics.ticks)
    assert offsets.committed(0) is None
    offsets.close()
    client = AdminClient(pipeline.config)
    killed_at = [0]
    for kill in range(1, KILLS + 1):
        process = pipeline.process("--emit-every", "50ms", "--price", price)
        try:
            while committed(client, pipeline) < kill * ticks // (KILLS + 2):
                assert process.poll() is None, "the engine exited on its own"
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed_at.append(committed(client, pipeline))
    # Each kill hit a working engine, further ahead than the last one.
    assert killed_at == sorted(set(killed_at))
    assert killed_at[-1] < ticks
