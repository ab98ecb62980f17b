"""`homma land`: write ticks and candles to the lake."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from homma.cli.catalog import Catalog
from homma.cli.failpoint_setting import chosen_failpoint
from homma.cli.gc_tuning import collect_rarely
from homma.cli.options import with_settings
from homma.cli.signals import stop_on_signals
from homma.failpoint import OnStep, Step
from homma.settings import (
    KafkaSettings,
    LakeSettings,
    LandSettings,
    MetricsSettings,
    TopicSettings,
)
from homma.topics import contract

if TYPE_CHECKING:
    from homma.topics.kafka.connection import Connection


@click.command()
@with_settings(KafkaSettings, TopicSettings, LakeSettings, LandSettings, MetricsSettings)
def land(
    connection: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: LandSettings,
    metrics: MetricsSettings,
) -> None:
    """Write ticks and candles to Iceberg tables, exactly once.

    \b
    Example:
      homma land --commit-every 10s
      homma land --until-end               process the records that exist now, then exit
      homma land --catalog-uri http://catalog:8181 --s3-endpoint http://s3:9000 -C token=…
    """
    from homma.lake.land.iceberg.opening import iceberg_sinks
    from homma.lake.land.loop import LandingTopics, open_landing
    from homma.lake.table import Lake
    from homma.metrics import LAND, Metrics
    from homma.topics.kafka.admin import Admin

    collect_rarely()
    on_step = chosen_failpoint()
    lake = Lake(catalog.properties, catalog.namespace, _commit_steps(on_step))
    to_land = LandingTopics(connection, contract.topics(topics), Admin(connection))
    to_land.admin.require(to_land.topics.ticks)
    land_metrics = Metrics(LAND)
    land_metrics.serve(metrics.metrics_host, metrics.metrics_port)
    stopped = stop_on_signals()
    try:
        sinks = iceberg_sinks(lake, settings, land_metrics, stopped, on_step)
        open_landing(sinks, to_land, settings, land_metrics).run(stopped)
    finally:
        lake.close()


def _commit_steps(on_step: OnStep) -> Callable[[str, str, bool], None]:
    """Return a callback for the steps of a commit that only the catalog client knows."""

    def watch(method: str, path: str, answered: bool) -> None:
        if method == "POST" and "/tables/" in path:
            on_step(Step.ANSWERED if answered else Step.ASKING)

    return watch
