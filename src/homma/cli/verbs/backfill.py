"""`homma backfill`: load recorded ticks into the lake, and build their candles."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from homma.cli.catalog import Catalog
from homma.cli.comparison import open_lake_and_engine
from homma.cli.feed_choice import chosen_feed
from homma.cli.options import with_settings
from homma.core.finality import FinalityRules
from homma.core.recompute import Slice
from homma.durations import microseconds
from homma.feed.replay import Recording
from homma.feed.sources import mapping_of
from homma.lake.audit.backfill import LoadedTicks, initial_state, load
from homma.lake.audit.engine import Engine
from homma.lake.audit.repair import RepairReport, repair
from homma.lake.audit.takeovers import Takeovers
from homma.lake.audit.verify import Scope
from homma.lake.schema import candle_tables
from homma.lake.table import Lake
from homma.settings import BackfillSettings, KafkaSettings, LakeSettings, TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection

ShowProgress = Callable[[str, int], None]
_POLL_S: Final = 0.05


@click.command()
@with_settings(KafkaSettings, TopicSettings, LakeSettings, BackfillSettings)
@click.argument("file", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--column",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="column of the files that contains a field of the tick",
)
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
@click.option("--signal", hidden=True, type=click.Path(path_type=Path))
def backfill(
    connection: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: BackfillSettings,
    file: tuple[Path, ...],
    column: tuple[str, ...],
    as_json: bool,
    signal: Path | None,
) -> None:
    """Load recorded ticks into the lake, and publish their candles.

    The files can be Parquet, CSV or NDJSON, in any order. CSV and NDJSON may be compressed (.gz,
    .zst). The ticks do not go through Kafka. Existing candles are rebuilt to include the new ticks,
    as in `homma repair`. `homma land` writes the published candles to the tables.

    \b
    Example:
      homma backfill 2024.parquet 2025.parquet
      homma backfill quotes.csv.gz --column mid=price --source LSE --symbol VOD
      homma backfill EURUSD-2024-05.csv --feed truefx
    """
    # `homma up` prepares this process before the servers are ready, and waits for the candles only.
    while signal and not signal.exists():
        time.sleep(_POLL_S)
    mapping = mapping_of(settings, column, chosen_feed(settings.feed))
    recording = Recording(file, mapping)
    names, admin = contract.topics(topics), Admin(connection)
    partitions = admin.partitions().get(names.ticks, topics.partitions)
    admin.ensure(contract.specs(topics, partitions), topics.replication_factor)
    start_s = time.monotonic()
    with (
        open_lake_and_engine(connection, names, catalog, settings.group) as (lake, engine),
        Takeovers(engine) as takeovers,
        _progress_bar(recording) as show,
    ):
        takeovers.prepare()
        for spec in candle_tables(topics.intervals):
            lake.ensure_table(spec)
        topic_id = admin.topic_id(names.ticks) or ""

        def publish(ticks: LoadedTicks) -> RepairReport:
            report = _publish_candles(lake, engine, takeovers, settings, ticks, topic_id, show)
            if signal:
                signal.unlink(missing_ok=True)
            return report

        loaded, repaired = load(
            recording.frames(),
            lake,
            time.time_ns() // 1000,
            publish,
            prices=settings.prices,
            skip_invalid=settings.skip_invalid_rows,
            on_ticks=lambda count: show("loading ticks", count),
        )
    skipped = recording.skipped + loaded.skipped
    _print_result(
        loaded, repaired, skipped, recording.not_ticks, time.monotonic() - start_s, as_json=as_json
    )


def _publish_candles(
    lake: Lake,
    engine: Engine,
    takeovers: Takeovers,
    settings: BackfillSettings,
    loaded: LoadedTicks,
    topic_id: str,
    show: ShowProgress,
) -> RepairReport:
    def now_us() -> int:
        return time.time_ns() // 1000

    calendar, counted = engine.topics.calendar, 0

    def on_slice(piece: Slice) -> None:
        nonlocal counted
        counted += piece.ticks.height
        show("building candles", counted)

    return repair(
        lake,
        engine,
        Scope(
            calendar,
            price=settings.price,
            prices=settings.prices,
            span=loaded.span(calendar),
        ),
        FinalityRules(
            watermark_delay_us=microseconds(settings.watermark_delay),
            idle_timeout_us=microseconds(settings.idle_timeout),
            allowed_lateness_us=microseconds(settings.allowed_lateness),
        ),
        now_us,
        initial_state=initial_state(engine, topic_id, settings.price, settings.prices, now_us()),
        newest_times=loaded.newest_times,
        new_ticks=loaded.new_ticks(settings.price),
        takeovers=takeovers,
        on_slice=on_slice,
    )


@contextmanager
def _progress_bar(recording: Recording) -> Iterator[ShowProgress]:
    """Show a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _step, _count: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=recording.count())
        yield lambda step, count: bar.update(task, description=step, completed=count)


def _print_result(
    loaded: LoadedTicks,
    repaired: RepairReport,
    skipped: int,
    not_ticks: int,
    seconds: float,
    *,
    as_json: bool,
) -> None:
    published, removed = sum(repaired.published.values()), sum(repaired.removed.values())
    if as_json:
        result = {
            "ticks": loaded.ticks,
            "skipped": skipped,
            "not_ticks": not_ticks,
            "published": published,
            "removed": removed,
            "seconds": round(seconds, 3),
        }
        click.echo(json.dumps(result))
        return
    counts = [(skipped, "skipped"), (not_ticks, "other records left out")]
    notes = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    skipped_text = f" ({notes})" if notes else ""
    click.echo(
        f"loaded {loaded.ticks:,} ticks into the lake{skipped_text} and published "
        f"{published:,} candles in {seconds:,.1f} s",
        err=True,
    )
