"""`homma feeds`: the definitions of other systems' records, and what they make of them."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from homma.cli.options import with_settings
from homma.settings import KafkaSettings

if TYPE_CHECKING:
    import polars as pl

    from homma.feed.definitions.tick_reader import TickReader
    from homma.feed.recorded import ColumnMapping
    from homma.feed.trial import Trial
    from homma.topics.kafka.connection import Connection

#: The number of records that are tried, and the numbers of ticks and of errors that are shown.
_TRIED: Final = 10_000
_SHOWN: Final = 10
_ERRORS: Final = 5


@click.group(invoke_without_command=True)
@click.pass_context
def feeds(context: click.Context) -> None:
    """List, show and try feed definitions.

    A feed definition says how records of another system become ticks. homma ships some, and you
    can add your own to homma.toml: see docs/feeds.md.

    \b
    Example:
      homma feeds                           list all definitions
      homma feeds show oanda                print one, to copy it to homma.toml
      homma feeds try truefx ticks.csv      show what it makes of a file
    """
    # click passes homma.toml to this group, which has to pass it on to its subcommands.
    context.default_map = dict.fromkeys(feeds.commands, context.default_map or {})
    if context.invoked_subcommand is None:
        _list()


def _list() -> None:
    from homma.cli.feed_choice import own_feeds
    from homma.feed.definitions.catalog import shipped

    known = {**shipped(), **own_feeds()}
    width = max(map(len, known))
    for name, feed in sorted(known.items()):
        where = f"  ({feed.file})" if feed.file else ""
        click.echo(f"{name:<{width}}  {feed.definition.about}{where}".rstrip())


@feeds.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a feed definition.

    \b
    Example:
      homma feeds show oanda >> homma.toml
    """
    from homma.cli.feed_choice import own_feeds
    from homma.feed.definitions.catalog import find

    click.echo(find(name, own_feeds()).text, nl=False)


@feeds.command(name="try")
@with_settings(KafkaSettings)
@click.argument("name")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--topic", "foreign_topic", metavar="TOPIC", help="topic to read instead of a file")
@click.option("--source", default="", help="source of all ticks, if the records have none")
@click.option("--symbol", default="", help="symbol of all ticks, if the records have none")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def try_feed(
    connection: Connection,
    name: str,
    file: Path | None,
    foreign_topic: str | None,
    source: str,
    symbol: str,
    as_json: bool,
) -> None:
    """Show the ticks of the first records of a feed, and what looks odd.

    Nothing is sent. The exit status is 1 if a record that should be a tick is none.

    \b
    Example:
      homma feeds try truefx ticks.csv
      homma feeds try my_feed.toml trades.ndjson --symbol BTCUSD
      homma feeds try oanda --topic oanda_prices
    """
    from homma.cli.feed_choice import chosen_feed
    from homma.errors import SettingError
    from homma.feed.recorded import ColumnMapping
    from homma.feed.trial import try_records

    if (file is None) == (foreign_topic is None):
        raise SettingError("neither or both of a file and --topic are given", "give one of them")
    mapping = ColumnMapping(source=source, symbol=symbol, definition=chosen_feed(name))
    if file is not None:
        reader, records = _of_file(file, mapping)
    else:
        reader, records = _of_topic(connection, str(foreign_topic), mapping)
    trial = try_records(reader, records, time.time_ns() // 1000)
    if as_json:
        _print_json(trial)
    else:
        _print(trial)
    if trial.errors:
        raise SystemExit(1)


def _of_file(path: Path, mapping: ColumnMapping) -> tuple[TickReader, pl.DataFrame]:
    """The reader of a file, and its first records."""
    import polars as pl

    from homma.feed.files import open_rows
    from homma.feed.recorded import RowParser

    rows = open_rows(path, mapping.layout, mapping.definition)
    parser = RowParser(path, rows.schema, mapping)
    reader = parser.reader
    for batch in rows.batches(reader):
        return reader, parser.filled(batch.head(_TRIED))
    return reader, pl.DataFrame(schema=dict.fromkeys(reader.paths, pl.String))


def _of_topic(
    connection: Connection, topic: str, mapping: ColumnMapping
) -> tuple[TickReader, pl.DataFrame]:
    """The reader of a topic, and its first records."""
    import polars as pl

    from homma.errors import FeedError, TopicMissing
    from homma.feed.definitions.record_values import KafkaRecords, read_records
    from homma.topics.kafka.admin import Admin
    from homma.topics.kafka.reading import Reader

    partitions = Admin(connection).partitions().get(topic)
    if partitions is None:
        raise TopicMissing(f"topic {topic} does not exist", "check --topic and --bootstrap.servers")
    reader = mapping.reader(Path(topic), pl.Schema())
    messages = []
    with closing(Reader(connection)) as kafka:
        for partition in range(partitions):
            ranges = {topic: kafka.offset_range(topic, partition)}
            for batch in kafka.read(partition, ranges):
                messages += batch
                if len(messages) >= _TRIED:
                    break
    if not messages:
        raise FeedError(f"topic {topic} has no records", "wait for the first record")
    first = messages[:_TRIED]
    read = read_records(
        reader,
        KafkaRecords(
            [message.key() for message in first],
            [message.value() for message in first],
            [message.timestamp()[1] for message in first],
        ),
    )
    if read.malformed:
        click.echo(f"{len(read.malformed)} of {len(first)} records are malformed", err=True)
    return reader, read.values


def _print_json(trial: Trial) -> None:
    from homma.topics.codec import encode_ticks

    lines = encode_ticks(trial.ticks.head(_SHOWN))[1]
    result = {
        "records": trial.records,
        "ticks": trial.ticks.height,
        "not_ticks": trial.not_ticks,
        "errors": trial.errors[:_ERRORS],
        "findings": trial.findings,
        "first": [json.loads(line) for line in lines],
    }
    click.echo(json.dumps(result, indent=2))


def _print(trial: Trial) -> None:
    import polars as pl

    from homma.cli.terminal.table import text_table
    from homma.core.decimals import text

    if trial.ticks.height:
        first = trial.ticks.head(_SHOWN)
        numbers = {name for name in first.columns if first[name].dtype.is_numeric()}
        cells = first.with_columns(text(pl.col(pl.Decimal)))
        click.echo("\n".join(text_table(cells, numbers)))
    counts = [
        f"{_count(trial.ticks.height, 'tick')} in the first {_count(trial.records, 'record')}"
    ]
    if trial.not_ticks:
        counts.append(_count(trial.not_ticks, "other record"))
    if trial.errors:
        counts.append(_count(len(trial.errors), "error"))
    click.echo(", ".join(counts))
    for error in trial.errors[:_ERRORS]:
        click.secho(f"error: {error}", fg="red")
    for finding in trial.findings:
        click.secho(f"note: {finding}", fg="yellow")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
