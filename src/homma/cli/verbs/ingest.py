"""`homma ingest`: ticks from the records of other topics."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from homma.cli.clock import exit_when_set_back
from homma.cli.failpoint_setting import chosen_failpoint
from homma.cli.gc_tuning import collect_rarely
from homma.cli.options import with_settings
from homma.cli.signals import stop_on_signals
from homma.errors import KafkaError, TopicMissing
from homma.settings import IngestSettings, KafkaSettings, MetricsSettings, TopicSettings
from homma.topics import contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from homma.topics.kafka.admin import Admin
    from homma.topics.kafka.connection import Connection

log = logging.getLogger("homma.ingest")

_POLL_S: Final = 1.0
_SAY_EVERY_S: Final = 30.0


@click.command()
@with_settings(KafkaSettings, TopicSettings, IngestSettings, MetricsSettings)
@click.argument("feeds", nargs=-1, required=True, metavar="FEED[=TOPIC]...")
@click.option("--source", default="", help="source of all ticks, if the records have none")
@click.option("--symbol", default="", help="symbol of all ticks, if the records have none")
def ingest(
    connection: Connection,
    topics: TopicSettings,
    settings: IngestSettings,
    metrics: MetricsSettings,
    feeds: tuple[str, ...],
    source: str,
    symbol: str,
) -> None:
    """Make ticks of the records of other topics, exactly once.

    FEED is a name of `homma feeds`, or a TOML file; its definition says how records become ticks.
    TOPIC is the topic that has the records; without it, the definition has to name one.

    \b
    Example:
      homma ingest oanda=oanda_prices
      homma ingest my_feed.toml=trades alpaca=alpaca_trades
      homma ingest polygon=polygon --until-end     read what is there now, then exit
    """
    from homma.cli.required_feeds import readers_of
    from homma.feed.ingest.stage import ingest_loop
    from homma.metrics import INGEST, Metrics
    from homma.partitions.stage import tick_topics
    from homma.partitions.together import run_together
    from homma.topics.kafka.admin import Admin

    names = contract.topics(topics)
    readers = readers_of(feeds, source, symbol, {*names.all(), names.by_series})
    foreign_topics = list(dict.fromkeys(topic for _, topic in readers))
    exit_when_set_back()
    collect_rarely()
    stopped, on_step = stop_on_signals(), chosen_failpoint()
    stage_metrics = Metrics(INGEST)
    stage_metrics.serve(metrics.metrics_host, metrics.metrics_port)
    admin = Admin(connection)
    if settings.wait_for_topic:
        _wait_for(foreign_topics, admin, stopped)
    if stopped():
        return
    known = admin.partitions()
    for topic in foreign_topics:
        if topic not in known:
            raise TopicMissing(
                f"topic {topic} does not exist",
                "check the name and --bootstrap.servers, or wait for it with --wait-for-topic",
            )
    partitions = known.get(names.ticks, topics.partitions)
    admin.ensure(contract.specs(topics, partitions), topics.replication_factor)
    target = tick_topics(connection, names, admin)
    loops = []
    for reader, topic in readers:
        foreign = tick_topics(connection, replace(names, ticks=topic), admin)
        labelled = stage_metrics.labelled(f"{reader.definition.name}={topic}")
        loops.append(ingest_loop(foreign, target, reader, settings, labelled, on_step=on_step))
    run_together([loop.run for loop in loops], stopped)


def _wait_for(topics: list[str], admin: Admin, stopped: Callable[[], bool]) -> None:
    """Wait until topics exist."""
    said_s = 0.0
    while not stopped():
        try:
            missing = [topic for topic in topics if topic not in admin.partitions()]
        except KafkaError as error:
            log.warning("%s", error)
            missing = topics
        if not missing:
            return
        if time.monotonic() - said_s > _SAY_EVERY_S:
            log.info("waiting until there is a topic %s", " and ".join(missing))
            said_s = time.monotonic()
        time.sleep(_POLL_S)
