"""`homma tail`: the newest candles in the terminal, live from Kafka."""

import os
import sys
from collections.abc import Callable

import click
from rich.console import Console

from homma.cli.intervals import of_code
from homma.cli.options import takes
from homma.cli.signals import stop_on_signals
from homma.cli.tail_output import Drawn, Lines, Output, TailSelection
from homma.core.interval import INTERVALS
from homma.errors import HommaError, KafkaError
from homma.settings import KafkaSettings, TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.follower import Follower, record
from homma.topics.latest import Latest

#: How long to wait for records before the terminal's size and Ctrl-C are looked at again.
_WAIT_S = 0.2
_OTHERS_NAMED = 20


@click.command()
@takes(KafkaSettings, TopicSettings)
@click.argument("code", metavar="INTERVAL")
@click.argument("name", metavar="[SYMBOL]", required=False)
@click.option("--source", "origin", metavar="SOURCE", help="the source, where a symbol has several")
@click.option(
    "--last",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="so many candles; as many as fit the terminal, 20 without one",
)
@click.option("--once", is_flag=True, help="what is there now, then exit")
@click.option("--json", "as_json", is_flag=True, help="a line of JSON for each change")
def tail(
    kafka: Connection,
    topics: TopicSettings,
    code: str,
    name: str | None,
    origin: str | None,
    last: int | None,
    once: bool,
    as_json: bool,
) -> None:
    """Show the newest candles, live, until Ctrl-C.

    INTERVAL is one of m1 m5 m10 m15 m30 h1 h3 h4 D1 W1 M1. With a SYMBOL, a chart of its candles;
    without, the newest candle of every series. Candles that are still open are hollow. Where the
    output is no terminal, a line for each change.

    \b
    Example:
      homma tail m1 BNBUSD
      homma tail h1 BNBUSD --source SOURCE_2 --last 48 --once
      homma tail m1                        every series
      homma tail D1 BNBUSD --json | jq .close
    """
    interval = of_code(code)
    topic = contract.topics(topics).candles[INTERVALS.index(interval)]
    if topic not in Admin(kafka).partitions():
        raise KafkaError(
            f"there is no topic {topic} at {kafka['bootstrap.servers']}",
            "start `homma up` or `homma aggregate`, which make it, or name it with --candle-topic",
        )
    wanted = TailSelection(interval, name, origin, last)
    console = Console()
    output: Output
    if as_json or not console.is_terminal:
        output = Lines(wanted, sys.stdout, as_json=as_json)
    else:
        output = Drawn(wanted, console, live=not once)
    # Tests run this in their own process, where it has no business with signals.
    stop = (lambda: False) if once else stop_on_signals()
    follower = Follower(kafka, topic)
    try:
        _follow(follower, output, wanted, once=once, stop=stop)
    except BrokenPipeError:
        # `homma tail … | head`: nobody reads on. Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        follower.close()
        # Last: what the clients log until then does not belong on the screen.
        output.close()


def _follow(
    follower: Follower,
    output: Output,
    wanted: TailSelection,
    *,
    once: bool,
    stop: Callable[[], bool],
) -> None:
    latest = _recent(follower, wanted, output.room(), stop)
    if wanted.symbol and not wanted.choose(latest):
        missing = _missing(follower, wanted, stop)
        if once:
            raise missing
        output.say(str(missing))
    output.begin(latest)
    if once:
        return
    follower.go_on()
    while not stop():
        changes = [
            change
            for message in follower.arrived(_WAIT_S)
            if (change := latest.add(record(message))) is not None
        ]
        output.show(latest, changes)


def _recent(
    follower: Follower, wanted: TailSelection, room: int, stop: Callable[[], bool]
) -> Latest:
    """The candles of the topic's recent past, read from its end as far back as need be."""
    latest = Latest(room, wanted.symbol)
    known = 0
    for step in follower.steps():
        for batch in follower.read(step):
            for message in batch:
                latest.add(record(message))
            if stop():
                return latest
        series = latest.series()
        # Without a symbol: until a step, three times as long as all before it, shows no new one.
        if wanted.enough(latest, room) or (not wanted.symbol and len(series) == known > 0):
            break
        known = len(series)
    return latest


def _missing(follower: Follower, wanted: TailSelection, stop: Callable[[], bool]) -> HommaError:
    """What to say where there is no such series: which there are."""
    everything = TailSelection(wanted.interval, None, None, None)
    series = _recent(follower, everything, 1, stop).series()
    said = ", ".join(f"{symbol} ({source})" for source, symbol in series[:_OTHERS_NAMED])
    more = f" and {len(series) - _OTHERS_NAMED} more" if len(series) > _OTHERS_NAMED else ""
    what = f"{wanted.symbol} of {wanted.source}" if wanted.source else str(wanted.symbol)
    return KafkaError(
        f"there are no candles of {what} in {wanted.interval.name}",
        f"there are some of {said}{more}" if series else "there are none at all yet: send ticks",
    )
