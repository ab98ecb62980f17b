"""`homma tail`: show the newest candles in the terminal, live from Kafka."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from homma.cli.intervals import parse_interval
from homma.cli.options import with_settings
from homma.cli.signals import stop_on_signals
from homma.errors import HommaError, KafkaError
from homma.settings import KafkaSettings, TopicSettings
from homma.topics import contract

if TYPE_CHECKING:
    from homma.cli.terminal.tail import Output, TailSelection
    from homma.topics.kafka.connection import Connection
    from homma.topics.kafka.follower import Follower
    from homma.topics.latest import LatestCandles

#: How long to wait for records before checking for Ctrl-C and a new terminal size.
_POLL_S = 0.2
_MAX_SERIES_LISTED = 20


@click.command()
@with_settings(KafkaSettings, TopicSettings)
@click.argument("code", metavar="INTERVAL")
@click.argument("name", metavar="[SYMBOL]", required=False)
@click.option(
    "--source", "origin", metavar="SOURCE", help="source to show, if the symbol has several"
)
@click.option(
    "--last",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="number of candles  [as many as fit in the terminal; 20 if the output is not a terminal]",
)
@click.option("--once", is_flag=True, help="print the current candles, then exit")
@click.option("--json", "as_json", is_flag=True, help="print one line of JSON per change")
def tail(
    connection: Connection,
    topics: TopicSettings,
    code: str,
    name: str | None,
    origin: str | None,
    last: int | None,
    once: bool,
    as_json: bool,
) -> None:
    """Show live candles until you press Ctrl-C.

    INTERVAL is one of --intervals, by default m1 m5 m10 m15 m30 h1 h3 h4 D1 W1 M1. With a SYMBOL,
    this draws a chart, in which open candles are hollow; without one, it lists the newest candle of
    every series. If the output is not a terminal, it prints one line per change.

    \b
    Example:
      homma tail m1 BNBUSD
      homma tail h1 BNBUSD --source SOURCE_2 --last 48 --once
      homma tail m1                        show all series
      homma tail D1 BNBUSD --json | jq .close
    """
    from rich.console import Console

    from homma.cli.terminal.tail import Drawn, Lines, TailSelection
    from homma.topics.kafka.admin import Admin
    from homma.topics.kafka.follower import Follower

    named = contract.topics(topics)
    interval = parse_interval(code, named.calendar)
    topic = named.candles[code]
    if topic not in Admin(connection).partitions():
        raise KafkaError(
            f"topic {topic} does not exist at {connection['bootstrap.servers']}",
            "start `homma up` or `homma aggregate` to create it, or use another --candle-topic",
        )
    selection = TailSelection(interval, name, origin, last)
    console = Console()
    output: Output
    if as_json or not console.is_terminal:
        output = Lines(selection, sys.stdout, as_json=as_json)
    else:
        output = Drawn(selection, console, live=not once)
    # Tests run this in their own process, whose signal handlers must not change.
    stop = (lambda: False) if once else stop_on_signals()
    follower = Follower(connection, topic)
    try:
        _follow(follower, output, selection, once=once, stop=stop)
    except BrokenPipeError:
        # The reader has exited, as in `homma tail … | head`. Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        follower.close()
        # Close this last, because the Kafka client may log until then.
        output.close()


def _follow(
    follower: Follower,
    output: Output,
    selection: TailSelection,
    *,
    once: bool,
    stop: Callable[[], bool],
) -> None:
    from homma.topics.kafka.follower import candle_record

    latest = _recent(follower, selection, output.room(), stop)
    if selection.symbol and not selection.choose(latest):
        missing = _missing(follower, selection, stop)
        if once:
            raise missing
        output.say(str(missing))
    output.begin(latest)
    if once:
        return
    follower.follow()
    while not stop():
        changes = [
            change
            for message in follower.poll(_POLL_S)
            if (change := latest.add(candle_record(message))) is not None
        ]
        output.show(latest, changes)


def _recent(
    follower: Follower, selection: TailSelection, room: int, stop: Callable[[], bool]
) -> LatestCandles:
    """Read the topic backwards from its end, until there are enough candles."""
    from homma.topics.kafka.follower import candle_record
    from homma.topics.latest import LatestCandles

    latest = LatestCandles(room, selection.symbol)
    series_count = 0
    for step in follower.steps():
        for batch in follower.read(step):
            for message in batch:
                latest.add(candle_record(message))
            if stop():
                return latest
        series = latest.series()
        # Without a symbol: until a step, three times as long as all before it, adds no series.
        complete = not selection.symbol and len(series) == series_count > 0
        if complete or selection.enough(latest, room):
            break
        series_count = len(series)
    return latest


def _missing(follower: Follower, selection: TailSelection, stop: Callable[[], bool]) -> HommaError:
    """Return the error for an unknown series, which lists the known ones."""
    from homma.cli.terminal.tail import TailSelection

    everything = TailSelection(selection.interval, None, None, None)
    series = _recent(follower, everything, 1, stop).series()
    names = ", ".join(f"{symbol} ({source})" for source, symbol in series[:_MAX_SERIES_LISTED])
    more = (
        f" and {len(series) - _MAX_SERIES_LISTED} more" if len(series) > _MAX_SERIES_LISTED else ""
    )
    name = f"{selection.symbol} of {selection.source}" if selection.source else selection.symbol
    return KafkaError(
        f"there are no candles of {name} in {selection.interval.name}",
        f"choose one of {names}{more}" if series else "send ticks first",
    )
