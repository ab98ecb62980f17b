"""`homma serve`: charts and an API."""

import logging
import os
from datetime import UTC, datetime
from importlib import metadata

import click

from homma.cli.catalog import Catalog
from homma.cli.options import SERVE_TOKEN, takes
from homma.cli.signals import stop_on_signals
from homma.metrics import SERVE, Metrics
from homma.serve import server
from homma.serve.app import Parts, Server
from homma.serve.candle_feed import CandleTopics
from homma.serve.guard import rules
from homma.serve.lake_client import HistoryReader, LakeClient
from homma.settings import KafkaSettings, LakeSettings, ServeSettings, TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection

log = logging.getLogger("homma.serve")


@click.command()
@takes(KafkaSettings, TopicSettings, LakeSettings, ServeSettings)
def serve(
    kafka: Connection, topics: TopicSettings, catalog: Catalog, settings: ServeSettings
) -> None:
    """Show candles in the browser, live, and give them to programs.

    The newest candles come from Kafka, older ones from the lake.

    \b
    Example:
      homma serve                          then open http://127.0.0.1:8010
      homma serve --without-lake --serve-port 8080
      HOMMA_SERVE_TOKEN=… homma serve --serve-host 0.0.0.0 --allowed-hosts charts.example.org
    """
    token = os.environ.get(SERVE_TOKEN)
    allowed = rules(settings.serve_host, settings.allowed_hosts, settings.cors_origins, token)
    measured = Metrics(SERVE)
    past = None if settings.without_lake else _past(catalog, measured)
    made = Server(
        Parts(
            settings=settings,
            rules=allowed,
            version=metadata.version("homma"),
            clock=lambda: datetime.now(UTC),
            source=CandleTopics(kafka, Admin(kafka), contract.topics(topics).candles),
            past=past,
            metrics=measured,
        )
    )
    # What it complains of are broken requests.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    server.allow_files(settings.max_connections)
    stream_timeout_ms = round(settings.stream_timeout.total_seconds() * 1000)
    listener = server.listen(settings.serve_host, settings.serve_port, stream_timeout_ms)
    host = f"[{settings.serve_host}]" if ":" in settings.serve_host else settings.serve_host
    log.info("the page is at http://%s:%d", host, listener.getsockname()[1])
    server.run(made.app, listener, settings.max_connections, stop_on_signals(), made.streams.close)


def _past(catalog: Catalog, measured: Metrics) -> LakeClient | None:
    """What asks the lake; None where there is no way in."""
    if catalog.missing is not None:
        log.warning("only the newest candles are shown: %s", catalog.missing)
        return None

    def opened() -> HistoryReader:
        # Longer to load than all else together: nobody is to wait for it to see what is new.
        from homma.lake.table import Lake  # noqa: PLC0415
        from homma.serve.lake import LakeReader  # noqa: PLC0415

        return LakeReader(Lake(catalog.properties, catalog.namespace))

    return LakeClient(opened, measured)
