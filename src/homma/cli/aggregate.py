"""`homma aggregate`: the engine, against any Kafka."""

import click

from homma.aggregate.job import Engine, sources
from homma.cli.clock import end_when_set_back
from homma.cli.options import takes
from homma.cli.signals import stop_on_signals
from homma.metrics import AGGREGATE, Metrics
from homma.settings import AggregateSettings, KafkaSettings, MetricsSettings, TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection


@click.command()
@takes(KafkaSettings, TopicSettings, AggregateSettings, MetricsSettings)
def aggregate(
    kafka: Connection,
    topics: TopicSettings,
    settings: AggregateSettings,
    metrics: MetricsSettings,
) -> None:
    """Make candles of the ticks in Kafka, exactly once.

    \b
    Example:
      homma aggregate --bootstrap.servers broker:9092 --price bid
      homma aggregate --until-end          work off what is there, then exit
    """
    end_when_set_back()
    names = contract.topics(topics)
    admin = Admin(kafka)
    admin.ensure(contract.specs(topics, admin.require(names.ticks)), topics.replication_factor)
    measured = Metrics(AGGREGATE)
    measured.serve(metrics.metrics_host, metrics.metrics_port)
    Engine(sources(kafka, names, admin), settings, measured).run(stop_on_signals())
