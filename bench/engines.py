"""The same ticks through homma's engine, Apache Flink and Quix Streams.

    make bench WHAT=engines                                     2 million ticks, 100 series
    make bench WHAT=engines ARGS="--only homma --ticks 200000"

Two questions, each put to every engine: how fast a topic that is full is worked off, and how long
after a tick its candle can be read, with ticks coming in live. Who takes part writes all 11
intervals; Quix Streams writes one, when it is over, so it has no latency to compare.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench import contenders, report
from bench.broker import broker, takes_port
from bench.contenders import Missing, Result
from bench.latency import Measured, watch
from bench.market import Market, make_topics, withheld
from bench.processes import Engine, Engines, engines
from homma.settings import TopicSettings
from homma.topics.contract import Topics

HOMMA = "homma"
QUIX = "Quix Streams"
#: A JVM that plans eleven intervals on a crowded machine.
START_S = 600.0
HEAD = (
    "engine",
    "ticks/s",
    "÷ homma",
    "CPU s a million",
    "peak MiB",
    "p50 ms",
    "p99 ms",
    "live CPU",
)


@dataclass(frozen=True)
class Contender:
    """An engine; `flags` are what `homma aggregate` is given for it."""

    name: str
    flags: tuple[str, ...] = ()

    @property
    def flink(self) -> bool:
        return bool(self.flags)


FLINK = ("--engine", "flink")
CONTENDERS = (
    Contender(HOMMA),
    Contender("Flink, parallelism 1", (*FLINK, "--parallelism", "1")),
    Contender("Flink, parallelism 2", (*FLINK, "--parallelism", "2")),
    Contender("Flink, at least once", (*FLINK, "--delivery", "at-least-once")),
)


@dataclass(frozen=True)
class Place:
    """Where a contender runs, and what was asked for."""

    bootstrap: str
    folder: Path
    asked: argparse.Namespace

    @contextmanager
    def ready(
        self, contender: Contender, turn: str
    ) -> Iterator[tuple[Engines, Topics, Callable[[], Engine]]]:
        """Topics of its own, and what starts the engine and waits for it."""
        name = f"{turn}{CONTENDERS.index(contender)}"
        topics = TopicSettings(
            topic=f"{name}_ticks", candle_topic=name + "_{name}", replication_factor=1
        )
        names = make_topics(self.bootstrap, topics)
        with engines(self.bootstrap, topics, name, self.folder) as group:

            def start() -> Engine:
                flags = contender.flags
                if contender.flink:
                    flags += ("--dir", str(self.folder / name))
                    flags += ("--flink-port", str(self.asked.flink_port))
                engine = group.start(*flags)
                ready = group.flink_ready if contender.flink else group.ready
                group.until(ready, within_s=START_S)
                return engine

            yield group, names, start


def throughput(place: Place, contender: Contender, market: Market) -> Result:
    """A full topic, worked off by an engine that is ready before it sees the first tick."""
    with (
        place.ready(contender, "full") as (group, names, start),
        withheld(place.bootstrap, names.ticks, market) as show,
    ):
        start()
        return contenders.worked_off(group, names, market, show)


def latency(place: Place, contender: Contender) -> Measured:
    """Live ticks."""
    with place.ready(contender, "live") as (group, names, start):
        return watch(group, start(), names, place.asked)


def row(name: str, done: Result, homma: float, live: Measured | None) -> list[str]:
    """An engine's figures."""
    rate = done.ticks / done.seconds
    cells = [
        name,
        f"{rate:,.0f}",
        f"{rate / homma:.2f}" if homma else "",
        f"{done.cpu_s / done.ticks * 1e6:.2f}",
        f"{done.peak_mib:,.0f}",
    ]
    if live is None:
        return [*cells, "", "", ""]
    ms = live.ticks.select((pl.col("read_us") - pl.col("made_us")) / 1000).to_series()
    return [
        *cells,
        *(f"{ms.quantile(share):,.0f}" for share in (0.5, 0.99)),
        f"{live.cpu_share * 100:.0f} %",
    ]


def rows(place: Place, market: Market) -> Iterator[list[str]]:
    """All engines, one after the other."""
    asked, homma = place.asked, 0.0
    for contender in CONTENDERS:
        if asked.only and contender.name not in asked.only:
            continue
        done = throughput(place, contender, market)
        homma = homma or (done.ticks / done.seconds if contender.name == HOMMA else 0.0)
        yield row(contender.name, done, homma, latency(place, contender))
    if not asked.only or QUIX in asked.only:
        try:
            done = _quix(place, market)
        except Missing as missing:
            print(missing, file=sys.stderr)
        else:
            yield row(QUIX, done, homma, None)


def _quix(place: Place, market: Market) -> Result:
    topics = TopicSettings(topic="quix_ticks", candle_topic="quix_{name}", replication_factor=1)
    names = make_topics(place.bootstrap, topics)
    with withheld(place.bootstrap, names.ticks, market) as show:
        show()
    ticks = min(place.asked.quix_ticks, market.ticks)
    return contenders.quix(place.bootstrap, names.ticks, ticks, place.folder)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=2_000_000)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--hours", type=float, default=2.0, help="event time the ticks span")
    parser.add_argument("--quix-ticks", type=int, default=200_000, help="its share of the ticks")
    parser.add_argument("--rate", type=int, default=5_000, help="live ticks a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of live ticks")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds")
    parser.add_argument("--flink-port", type=int, default=18083, help="of Flink's REST")
    parser.add_argument("--only", action="append", help="engines, by name")
    takes_port(parser)
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    market = Market(asked.ticks, asked.series, int(asked.hours * 3600e6))
    with broker(asked.port) as (bootstrap, folder):
        found: list[list[str]] = []
        for cells in rows(Place(bootstrap, folder, asked), market):
            # What is known is not lost when a later engine fails.
            print("  ".join(cells), file=sys.stderr, flush=True)
            found.append(cells)
    report.show(
        f"{market.ticks:,} ticks, {market.series:,} series, {asked.hours:g} h of event time; "
        f"live: {asked.rate:,} ticks/s for {asked.seconds:g} s",
        HEAD,
        found,
        markdown=asked.markdown,
    )


if __name__ == "__main__":
    main()
