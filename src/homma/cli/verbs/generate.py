"""`homma generate`: send synthetic ticks to Kafka."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from homma.cli.options import with_settings
from homma.settings import GenerateSettings, KafkaSettings, MetricsSettings, TopicSettings

if TYPE_CHECKING:
    from homma.topics.kafka.connection import Connection


@click.command()
@with_settings(KafkaSettings, TopicSettings, GenerateSettings, MetricsSettings)
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def generate(
    connection: Connection,
    topics: TopicSettings,
    settings: GenerateSettings,
    metrics: MetricsSettings,
    as_json: bool,
) -> None:
    """Send synthetic ticks to Kafka until you press Ctrl-C.

    \b
    Example:
      homma generate --rate 1000 --sources 2 --series 20
      homma generate --late 0.01 --out-of-order 0.05 --duplicates 0.01 --invalid 0.01
      homma generate --seed 7 --start 2025-03-20T00:00:00 --speed max --limit 1000000
      homma generate --bootstrap.servers HOST:9092 --topic T --security.protocol SASL_SSL
    """
    from homma.cli.sending import send
    from homma.feed.sources import synthetic

    source = synthetic(settings, time.time_ns() // 1_000)
    send(connection, topics, metrics, source, settings.limit, as_json=as_json)
