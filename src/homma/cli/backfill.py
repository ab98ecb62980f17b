"""`homma backfill`: recorded ticks straight into the lake, and their candles."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from homma.cli.catalog import Catalog
from homma.cli.checking import opened
from homma.cli.options import takes
from homma.core.recompute import Slice
from homma.durations import microseconds
from homma.errors import FeedError
from homma.feed.recorded import Layout
from homma.feed.replay import Recording
from homma.feed.sources import columns_of, one_byte
from homma.lake.backfill import Loaded, beginning, load
from homma.lake.correction import CorrectionRules
from homma.lake.engine import Engine
from homma.lake.repair import Repaired, repair
from homma.lake.schema import CANDLES
from homma.lake.table import Lake
from homma.lake.verify import Scope
from homma.settings import BackfillSettings, KafkaSettings, LakeSettings, TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection

Show = Callable[[str, int], None]


@click.command()
@takes(KafkaSettings, TopicSettings, LakeSettings, BackfillSettings)
@click.argument("file", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--column", multiple=True, metavar="FIELD=COLUMN", help="what the files call a tick's field"
)
@click.option("--json", "as_json", is_flag=True, help="say at the end in JSON what was done")
def backfill(
    kafka: Connection,
    topics: TopicSettings,
    catalog: Catalog,
    settings: BackfillSettings,
    file: tuple[Path, ...],
    column: tuple[str, ...],
    as_json: bool,
) -> None:
    """Put recorded ticks into the lake and their candles into the topics, and so into the tables.

    Parquet, CSV or NDJSON, the last two also .gz or .zst, in any order. The ticks do not pass
    through Kafka. Candles that were there already are made anew with them, as `homma repair` does.
    `homma land` takes the candles from the topics into the tables.

    \b
    Example:
      homma backfill 2024.parquet 2025.parquet
      homma backfill quotes.csv.gz --column mid=price --source LSE --symbol VOD
    """
    layout = Layout(
        columns=columns_of(column),
        source=settings.source,
        symbol=settings.symbol,
        unit=settings.time_unit,
        skip=settings.skip_invalid_rows,
    )
    recording = Recording(file, layout, one_byte(settings.separator))
    names, admin = contract.topics(topics), Admin(kafka)
    partitions = admin.partitions().get(names.ticks, topics.partitions)
    admin.ensure(contract.specs(topics, partitions), topics.replication_factor)
    began_s = time.monotonic()
    with opened(kafka, names, catalog, settings.group) as (lake, engine), _shown(recording) as show:
        for spec in CANDLES:
            lake.make(spec)
        loaded = load(
            recording.frames(),
            lake,
            time.time_ns() // 1000,
            skip_bad=settings.skip_invalid_rows,
            on_ticks=lambda count: show("ticks into the lake", count),
        )
        if not loaded.ticks:
            raise FeedError("there are no ticks in the files", "name files that have some")
        topic_id = admin.topic_id(names.ticks) or ""
        done = _candles(lake, engine, settings, loaded, topic_id, show)
    skipped = recording.skipped + loaded.bad
    _say(loaded, done, skipped, time.monotonic() - began_s, as_json=as_json)


def _candles(
    lake: Lake,
    engine: Engine,
    settings: BackfillSettings,
    loaded: Loaded,
    topic_id: str,
    show: Show,
) -> Repaired:
    def now_us() -> int:
        return time.time_ns() // 1000

    counted = 0

    def on_slice(piece: Slice) -> None:
        nonlocal counted
        counted += piece.ticks.height
        show("candles of them", counted)

    return repair(
        lake,
        engine,
        Scope(price=settings.price, span=loaded.span()),
        CorrectionRules(
            microseconds(settings.watermark_delay), microseconds(settings.allowed_lateness)
        ),
        now_us,
        first=beginning(engine, topic_id, settings.price, now_us()),
        clocks=loaded.clocks,
        on_slice=on_slice,
    )


@contextmanager
def _shown(recording: Recording) -> Iterator[Show]:
    """A bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _what, _count: None
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
        yield lambda what, count: bar.update(task, description=what, completed=count)


def _say(loaded: Loaded, done: Repaired, skipped: int, seconds: float, *, as_json: bool) -> None:
    published, removed = sum(done.published.values()), sum(done.removed.values())
    if as_json:
        said = {
            "ticks": loaded.ticks,
            "skipped": skipped,
            "published": published,
            "removed": removed,
            "seconds": round(seconds, 3),
        }
        click.echo(json.dumps(said))
        return
    left = f", {skipped:,} left out" if skipped else ""
    click.echo(
        f"{loaded.ticks:,} ticks into the lake{left}, {published:,} candles published, in "
        f"{seconds:,.1f} s",
        err=True,
    )
