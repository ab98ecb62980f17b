"""`homma replay`: send recorded ticks to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homma.cli.options import with_settings
from homma.settings import KafkaSettings, MetricsSettings, ReplaySettings, TopicSettings

if TYPE_CHECKING:
    from homma.topics.kafka.connection import Connection


@click.command()
@with_settings(KafkaSettings, TopicSettings, ReplaySettings, MetricsSettings)
@click.argument("file", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--column",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="column of the files that contains a field of the tick",
)
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def replay(
    connection: Connection,
    topics: TopicSettings,
    settings: ReplaySettings,
    metrics: MetricsSettings,
    file: tuple[Path, ...],
    column: tuple[str, ...],
    as_json: bool,
) -> None:
    """Send recorded ticks to Kafka.

    The files can be Parquet, CSV or NDJSON. CSV and NDJSON may be compressed (.gz, .zst).

    \b
    Example:
      homma replay ticks.parquet --speed 60
      homma replay ticks.csv.gz --speed max --rebase now
      homma replay quotes.csv --column mid=price --source LSE --symbol VOD
      homma replay trades.ndjson.zst --column dateTime=time --time-unit ms
      homma replay XBTUSD.csv --feed kraken_dump --symbol XBTUSD
    """
    from homma.cli.feed_choice import chosen_feed
    from homma.cli.sending import send
    from homma.feed import sources

    mapping = sources.mapping_of(settings, column, chosen_feed(settings.feed))
    source, recording = sources.replay(file, mapping, settings)

    def counts() -> dict[str, int]:
        skipped = {"rows_skipped": recording.skipped} if settings.skip_invalid_rows else {}
        return skipped | ({"rows_not_ticks": recording.not_ticks} if settings.feed else {})

    send(
        connection,
        topics,
        metrics,
        source,
        settings.limit,
        as_json=as_json,
        extra=counts,
    )
