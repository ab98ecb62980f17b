"""`homma flink`: what Apache Flink is given to run."""

import click

from homma.aggregate.flink import SHADED, Job, script
from homma.cli.flink_state import checkpoints_uri
from homma.cli.options import takes
from homma.settings import (
    AggregateSettings,
    EngineSettings,
    FlinkSettings,
    KafkaSettings,
    TopicSettings,
)
from homma.topics import contract
from homma.topics.java import java_properties
from homma.topics.kafka.connection import Connection


@click.group()
@click.pass_context
def flink(context: click.Context) -> None:
    """The same candles from Apache Flink.

    \b
    Example:
      homma flink sql                       what Flink is given to run
      homma aggregate --engine flink        run it
    """
    # Settings of homma.toml are those of a verb; here the verb has verbs of its own.
    context.default_map = dict.fromkeys(flink.commands, context.default_map or {})


@flink.command()
@takes(KafkaSettings, TopicSettings, AggregateSettings, FlinkSettings, EngineSettings)
def sql(
    kafka: Connection,
    topics: TopicSettings,
    settings: AggregateSettings,
    flink_settings: FlinkSettings,
    engine: EngineSettings,
) -> None:
    """Print the SQL that makes the candles in Flink: `sql-client.sh -f` takes it as it is.

    It holds no secret: Flink reads KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD itself.

    \b
    Example:
      homma flink sql --bootstrap.servers broker:9092 --checkpoints s3://bucket/flink
    """
    named = contract.topics(topics)
    job = Job(
        topics=named,
        settings=settings,
        flink=flink_settings,
        client=java_properties(kafka, SHADED),
        checkpoints=checkpoints_uri(flink_settings, engine, settings.group, named.ticks),
    )
    click.echo(script(job), nl=False)
