"""`homma flink`: the SQL that Apache Flink runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from homma.cli.options import with_settings
from homma.settings import (
    AggregateSettings,
    EngineSettings,
    FlinkSettings,
    KafkaSettings,
    TopicSettings,
)
from homma.topics import contract

if TYPE_CHECKING:
    from homma.topics.kafka.connection import Connection


@click.group()
@click.pass_context
def flink(context: click.Context) -> None:
    """Build the same candles with Apache Flink.

    \b
    Example:
      homma flink sql                       print the SQL that Flink runs
      homma aggregate --engine flink        run it
    """
    # click passes homma.toml to this group, which has to pass it on to its subcommands.
    context.default_map = dict.fromkeys(flink.commands, context.default_map or {})


@flink.command()
@with_settings(KafkaSettings, TopicSettings, AggregateSettings, FlinkSettings, EngineSettings)
def sql(
    connection: Connection,
    topics: TopicSettings,
    settings: AggregateSettings,
    flink_settings: FlinkSettings,
    engine: EngineSettings,
) -> None:
    """Print the SQL that builds the candles, which `sql-client.sh -f` can run.

    It contains no secrets: Flink itself reads KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.

    \b
    Example:
      homma flink sql --bootstrap.servers broker:9092 --checkpoints s3://bucket/flink
    """
    from homma.flink.sql import SHADED, Job, script
    from homma.flink.state import checkpoints_uri
    from homma.topics.java import java_properties

    names = contract.topics(topics)
    job = Job(
        topics=names,
        settings=settings,
        flink=flink_settings,
        client=java_properties(connection, SHADED),
        checkpoints=checkpoints_uri(flink_settings, engine, settings.group, names.ticks),
    )
    click.echo(script(job), nl=False)
