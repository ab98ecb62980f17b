"""What tests of restarts share: short waits, and another committed offset."""

from datetime import timedelta

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.pipeline import Pipeline

#: An allowed lateness so short that a series is dormant after a second.
SHORT = {
    "max_future": timedelta(0),
    "watermark_delay": timedelta(0),
    "allowed_lateness": timedelta(seconds=1),
}


def reset(pipeline: Pipeline, offset: int, metadata: str = "") -> None:
    client = AdminClient(pipeline.config)
    position = TopicPartition(pipeline.topics.ticks, 0, offset, metadata)
    group = ConsumerGroupTopicPartitions(pipeline.settings.group, [position])
    for future in client.alter_consumer_group_offsets([group]).values():
        future.result(10)
