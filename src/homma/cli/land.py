"""`homma land`: ticks and candles into the lake."""

import os
import signal
from collections.abc import Callable

import click

from homma.cli.catalog import Catalog
from homma.cli.gc_tuning import collect_seldom
from homma.cli.options import FAILPOINT, takes
from homma.cli.signals import stop_on_signals
from homma.failpoint import Reached, Step, at, ignored
from homma.lake.job import LandingTopics, landing
from homma.lake.table import Lake
from homma.metrics import LAND, Metrics
from homma.settings import (
    KafkaSettings,
    LakeSettings,
    LandSettings,
    MetricsSettings,
    TopicSettings,
)
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection


@click.command()
@takes(KafkaSettings, TopicSettings, LakeSettings, LandSettings, MetricsSettings)
def land(
    kafka: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: LandSettings,
    metrics: MetricsSettings,
) -> None:
    """Put ticks and candles into Iceberg tables, exactly once.

    \b
    Example:
      homma land --commit-every 10s
      homma land --until-end               work off what is there, then exit
      homma land --catalog-uri http://catalog:8181 --s3-endpoint http://s3:9000 -C token=…
    """
    collect_seldom()
    reached = _failpoint()
    lake = Lake(catalog.properties, catalog.namespace, _commits(reached))
    sources = LandingTopics(kafka, contract.topics(topics), Admin(kafka))
    sources.admin.require(sources.topics.ticks)
    measured = Metrics(LAND)
    measured.serve(metrics.metrics_host, metrics.metrics_port)
    stopped = stop_on_signals()
    try:
        landing(lake, sources, settings, measured, stopped, reached).run(stopped)
    finally:
        lake.close()


def _commits(reached: Reached) -> Callable[[str, str, bool], None]:
    """The steps of a commit that only the catalog's client sees."""

    def watch(method: str, path: str, answered: bool) -> None:
        if method == "POST" and "/tables/" in path:
            reached(Step.ANSWERED if answered else Step.ASKING)

    return watch


def _failpoint() -> Reached:
    """Where a test wants this process to end, as suddenly as a power cut."""
    text = os.environ.get(FAILPOINT)
    return ignored if text is None else at(text, lambda: os.kill(os.getpid(), signal.SIGKILL))
