"""`homma aggregate`: the engine, against any Kafka."""

import os
import signal
from dataclasses import replace

import click

from homma.aggregate.job import engine
from homma.aggregate.rekey import beside, rekeying
from homma.aggregate.stage import sources
from homma.cli import flink_run
from homma.cli.clock import end_when_set_back
from homma.cli.gc_tuning import collect_seldom
from homma.cli.options import FAILPOINT, takes
from homma.cli.signals import stop_on_signals
from homma.errors import SettingError
from homma.failpoint import Reached, at, ignored
from homma.metrics import AGGREGATE, Metrics
from homma.settings import (
    AggregateSettings,
    EngineSettings,
    FlinkSettings,
    KafkaSettings,
    MetricsSettings,
    TopicSettings,
)
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection


@click.command()
@takes(
    KafkaSettings, TopicSettings, AggregateSettings, MetricsSettings, EngineSettings, FlinkSettings
)
def aggregate(
    kafka: Connection,
    topics: TopicSettings,
    settings: AggregateSettings,
    metrics: MetricsSettings,
    which: EngineSettings,
    flink: FlinkSettings,
) -> None:
    """Make candles of the ticks in Kafka, exactly once.

    \b
    Example:
      homma aggregate --bootstrap.servers broker:9092 --price bid
      homma aggregate --until-end          work off what is there, then exit
      homma aggregate --rekey              where ticks are not keyed SOURCE:SYMBOL
      homma aggregate --engine flink       the same candles from Apache Flink
    """
    end_when_set_back()
    collect_seldom()
    reached, names = _failpoint(), contract.topics(topics)
    admin = Admin(kafka)
    partitions = admin.require(names.ticks)
    admin.ensure(contract.specs(topics, partitions), topics.replication_factor)
    if which.engine == "flink":
        if metrics.metrics_port:
            raise SettingError("Flink has metrics of its own", "leave --metrics-port out")
        flink_run.run(kafka, names, settings, flink, which, stop_on_signals())
        return
    measured = Metrics(AGGREGATE)
    measured.serve(metrics.metrics_host, metrics.metrics_port)
    found = sources(kafka, names, admin)
    if not settings.rekey:
        engine(found, settings, measured, reached=reached).run(stop_on_signals())
        return
    by_series = contract.by_series_spec(topics, partitions)
    admin.ensure([by_series], topics.replication_factor)
    keyed = sources(kafka, replace(names, ticks=names.by_series), admin)
    first = rekeying(found, settings, keyed.topic_id, measured, reached=reached)
    candles = engine(keyed, settings, measured, raw=names.ticks, reached=reached)
    stopped = stop_on_signals()
    if settings.until_end:
        first.run(stopped)
        candles.run(stopped)
    else:
        beside(first.run, candles.run, stopped)


def _failpoint() -> Reached:
    """Where a test wants this process to end, as suddenly as a power cut."""
    text = os.environ.get(FAILPOINT)
    return ignored if text is None else at(text, lambda: os.kill(os.getpid(), signal.SIGKILL))
