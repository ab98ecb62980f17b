"""`homma aggregate`: the engine that builds candles, on any Kafka."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from homma.cli.failpoint_setting import chosen_failpoint
from homma.cli.gc_tuning import collect_rarely
from homma.cli.options import with_settings
from homma.cli.signals import stop_on_signals
from homma.errors import SettingError
from homma.settings import (
    AggregateSettings,
    EngineSettings,
    FlinkSettings,
    KafkaSettings,
    MetricsSettings,
    TopicSettings,
)
from homma.topics import contract

if TYPE_CHECKING:
    from homma.topics.kafka.connection import Connection


@click.command()
@with_settings(
    KafkaSettings, TopicSettings, AggregateSettings, MetricsSettings, EngineSettings, FlinkSettings
)
def aggregate(
    connection: Connection,
    topics: TopicSettings,
    settings: AggregateSettings,
    metrics: MetricsSettings,
    engine: EngineSettings,
    flink: FlinkSettings,
) -> None:
    """Build candles from the ticks in Kafka, exactly once.

    \b
    Example:
      homma aggregate --bootstrap.servers broker:9092 --price bid
      homma aggregate --until-end          process the ticks that exist now, then exit
      homma aggregate --rekey              if ticks are not keyed SOURCE:SYMBOL
      homma aggregate --engine flink       build the same candles with Apache Flink
    """
    from homma.aggregate.job import candle_loop
    from homma.aggregate.rekey import rekey_loop
    from homma.cli.clock import exit_when_set_back
    from homma.flink import job as flink_run
    from homma.metrics import AGGREGATE, Metrics
    from homma.partitions.stage import tick_topics
    from homma.partitions.together import run_together
    from homma.topics.kafka.admin import Admin

    exit_when_set_back()
    collect_rarely()
    on_step, names = chosen_failpoint(), contract.topics(topics)
    admin = Admin(connection)
    partitions = admin.require(names.ticks)
    admin.ensure(contract.specs(topics, partitions), topics.replication_factor)
    if engine.engine == "flink":
        if metrics.metrics_port:
            raise SettingError("Flink serves its own metrics", "omit --metrics-port")
        flink_run.run(connection, names, settings, flink, engine, stop_on_signals())
        return
    stage_metrics = Metrics(AGGREGATE)
    stage_metrics.serve(metrics.metrics_host, metrics.metrics_port)
    raw = tick_topics(connection, names, admin)
    if not settings.rekey:
        candle_loop(raw, settings, stage_metrics, on_step=on_step).run(stop_on_signals())
        return
    by_series = contract.by_series_spec(topics, partitions)
    admin.ensure([by_series], topics.replication_factor)
    keyed = tick_topics(connection, replace(names, ticks=names.by_series), admin)
    rekeying = rekey_loop(raw, settings, keyed.topic_id, stage_metrics, on_step=on_step)
    candles = candle_loop(keyed, settings, stage_metrics, source_topic=names.ticks, on_step=on_step)
    stopped = stop_on_signals()
    if settings.until_end:
        rekeying.run(stopped)
        candles.run(stopped)
    else:
        run_together([rekeying.run, candles.run], stopped)
