"""What is deployed elsewhere, rendered from the code's own tables."""

from typing import Final

import click

from homma.aggregate.flink import SHADED, Job, script
from homma.settings import AggregateSettings, FlinkSettings, KafkaSettings, TopicSettings
from homma.topics import contract
from homma.topics.java import java_properties
from homma.topics.kafka.connection import connection

#: Where containers find each other.
_KAFKA: Final = "kafka:9092"
_CHECKPOINTS: Final = "s3://lake/flink"


def flink_sql(program: click.Group) -> str:
    """The candles in Flink, all settings as they are by default."""
    del program
    kafka = connection(KafkaSettings(bootstrap_servers=_KAFKA), {}, None, None)
    job = Job(
        topics=contract.topics(TopicSettings()),
        settings=AggregateSettings(),
        flink=FlinkSettings(),
        client=java_properties(kafka, SHADED),
        checkpoints=_CHECKPOINTS,
    )
    head = (
        "-- Rendered by `homma render` with the default settings; for others:\n"
        f"-- homma flink sql --bootstrap.servers {_KAFKA} --checkpoints {_CHECKPOINTS}\n"
    )
    return head + script(job)
