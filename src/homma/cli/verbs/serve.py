"""`homma serve`: a page with charts, and an API."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

import click

from homma.cli.catalog import Catalog
from homma.cli.options import SERVE_TOKEN, with_settings
from homma.cli.signals import stop_on_signals
from homma.settings import KafkaSettings, LakeSettings, ServeSettings, TopicSettings
from homma.topics import contract

if TYPE_CHECKING:
    from homma.metrics import Metrics
    from homma.serve.lake_client import HistoryReader, LakeClient
    from homma.topics.kafka.connection import Connection

log = logging.getLogger("homma.serve")


@click.command()
@with_settings(KafkaSettings, TopicSettings, LakeSettings, ServeSettings)
def serve(
    connection: Connection, topics: TopicSettings, catalog: Catalog, settings: ServeSettings
) -> None:
    """Serve live charts to browsers and an API to programs.

    The newest candles come from Kafka, older ones from the lake.

    \b
    Example:
      homma serve                          then open http://127.0.0.1:8010
      homma serve --without-lake --serve-port 8080
      HOMMA_SERVE_TOKEN=… homma serve --serve-host 0.0.0.0 --allowed-hosts charts.example.org
    """
    from homma.metrics import SERVE, Metrics
    from homma.serve.candle_feed import CandleTopics
    from homma.serve.http import server
    from homma.serve.http.app import Parts, Server
    from homma.serve.http.guard import access_rules
    from homma.topics.kafka.admin import Admin

    token = os.environ.get(SERVE_TOKEN)
    allowed = access_rules(
        settings.serve_host, settings.allowed_hosts, settings.cors_origins, token
    )
    serve_metrics = Metrics(SERVE)
    named = contract.topics(topics)
    lake = None if settings.without_lake else _lake_client(catalog, serve_metrics)
    app = Server(
        Parts(
            settings=settings,
            rules=allowed,
            version=metadata.version("homma"),
            calendar=named.calendar,
            clock=lambda: datetime.now(UTC),
            topics=CandleTopics(connection, Admin(connection), named.public_candles),
            lake=lake,
            metrics=serve_metrics,
        )
    )
    # It logs only invalid requests.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    server.allow_files(settings.max_connections)
    stream_timeout_ms = round(settings.stream_timeout.total_seconds() * 1000)
    listener = server.listen(settings.serve_host, settings.serve_port, stream_timeout_ms)
    host = f"[{settings.serve_host}]" if ":" in settings.serve_host else settings.serve_host
    log.info("serving the page at http://%s:%d", host, listener.getsockname()[1])
    server.run(
        app.app,
        listener,
        settings.max_connections,
        stop_on_signals(),
        app.streams.close,
    )


def _lake_client(catalog: Catalog, serve_metrics: Metrics) -> LakeClient | None:
    """Return a client of the lake; None if there are no credentials."""
    from homma.serve.lake_client import LakeClient

    if catalog.missing is not None:
        log.warning("serving only the newest candles: %s", catalog.missing)
        return None

    def open_reader() -> HistoryReader:
        # These imports take longer than everything else: the newest candles need not wait for them.
        from homma.lake.table import Lake
        from homma.serve.lake import LakeReader

        return LakeReader(Lake(catalog.properties, catalog.namespace))

    return LakeClient(open_reader, serve_metrics)
