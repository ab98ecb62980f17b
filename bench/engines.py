"""The same ticks through homma's engine, Apache Flink and Quix Streams.

    make bench WHAT=engines                                     2 million ticks, 100 series
    make bench WHAT=engines ARGS="--only homma --ticks 200000"

Two measurements per engine: the throughput on a full topic, and the time from a live tick until its
candle is readable. The engines write the default intervals; Quix Streams writes one, at the end of
the interval, so it has no latency to compare.
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
from bench.contenders import MissingProgram, Result
from bench.latency import LatencyResult, measure_ready
from bench.market import Market, make_topics, withheld
from bench.processes import Engine, Engines, engines
from homma.settings import TopicSettings
from homma.topics.contract import Topics

HOMMA = "homma"
QUIX = "Quix Streams"
#: Enough for a JVM that plans all intervals on a busy machine.
START_S = 600.0
HEAD = (
    "engine",
    "ticks/s",
    "÷ homma",
    "CPU s per million",
    "peak MiB",
    "p50 ms",
    "p99 ms",
    "live CPU",
)


@dataclass(frozen=True)
class Contender:
    """An engine; `flags` are the flags of `homma aggregate`."""

    name: str
    flags: tuple[str, ...] = ()

    @property
    def is_flink(self) -> bool:
        return bool(self.flags)


FLINK = ("--engine", "flink")
CONTENDERS = (
    Contender(HOMMA),
    Contender("Flink, parallelism 1", (*FLINK, "--parallelism", "1")),
    Contender("Flink, parallelism 2", (*FLINK, "--parallelism", "2")),
    Contender("Flink, at least once", (*FLINK, "--delivery", "at-least-once")),
)


@dataclass(frozen=True)
class Environment:
    """The broker, the folder and the flags of this program."""

    bootstrap: str
    folder: Path
    args: argparse.Namespace

    @contextmanager
    def ready(
        self, contender: Contender, prefix: str
    ) -> Iterator[tuple[Engines, Topics, Callable[[], Engine]]]:
        """Separate topics, and a function that starts the engine and waits until it is ready."""
        name = f"{prefix}{CONTENDERS.index(contender)}"
        topics = TopicSettings(
            topic=f"{name}_ticks", candle_topic=name + "_{name}", replication_factor=1
        )
        names = make_topics(self.bootstrap, topics)
        with engines(self.bootstrap, topics, name, self.folder) as group:

            def start() -> Engine:
                flags = contender.flags
                if contender.is_flink:
                    flags += ("--dir", str(self.folder / name))
                    flags += ("--flink-port", str(self.args.flink_port))
                engine = group.start(*flags)
                ready = group.flink_ready if contender.is_flink else group.ready
                group.until(ready, timeout_s=START_S)
                return engine

            yield group, names, start


def throughput(environment: Environment, contender: Contender, market: Market) -> Result:
    """Throughput on a full topic; the engine is ready before it reads the first tick."""
    with (
        environment.ready(contender, "full") as (group, names, start),
        withheld(environment.bootstrap, names.ticks, market) as release,
    ):
        start()
        return contenders.process_ticks(group, names, market, release)


def latency(environment: Environment, contender: Contender) -> LatencyResult:
    """Latency with live ticks."""
    with environment.ready(contender, "live") as (group, names, start):
        return measure_ready(group, start(), names, environment.args)


def row(name: str, result: Result, homma: float, live: LatencyResult | None) -> list[str]:
    """An engine's figures."""
    rate = result.ticks / result.seconds
    cells = [
        name,
        f"{rate:,.0f}",
        f"{rate / homma:.2f}" if homma else "",
        f"{result.cpu_s / result.ticks * 1e6:.2f}",
        f"{result.peak_mib:,.0f}",
    ]
    if live is None:
        return [*cells, "", "", ""]
    ms = live.ticks.select((pl.col("read_us") - pl.col("created_us")) / 1000).to_series()
    return [
        *cells,
        *(f"{ms.quantile(share):,.0f}" for share in (0.5, 0.99)),
        f"{live.cpu_share * 100:.0f} %",
    ]


def rows(environment: Environment, market: Market) -> Iterator[list[str]]:
    """Rows of all engines, one after the other."""
    args, homma = environment.args, 0.0
    for contender in CONTENDERS:
        if args.only and contender.name not in args.only:
            continue
        result = throughput(environment, contender, market)
        homma = homma or (result.ticks / result.seconds if contender.name == HOMMA else 0.0)
        yield row(contender.name, result, homma, latency(environment, contender))
    if not args.only or QUIX in args.only:
        try:
            result = _quix(environment, market)
        except MissingProgram as missing:
            print(missing, file=sys.stderr)
        else:
            yield row(QUIX, result, homma, None)


def _quix(environment: Environment, market: Market) -> Result:
    topics = TopicSettings(topic="quix_ticks", candle_topic="quix_{name}", replication_factor=1)
    names = make_topics(environment.bootstrap, topics)
    with withheld(environment.bootstrap, names.ticks, market) as release:
        release()
    ticks = min(environment.args.quix_ticks, market.ticks)
    return contenders.quix(environment.bootstrap, names.ticks, ticks, environment.folder)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=2_000_000)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--hours", type=float, default=2.0, help="event time of the ticks")
    parser.add_argument("--quix-ticks", type=int, default=200_000, help="ticks for Quix Streams")
    parser.add_argument("--rate", type=int, default=5_000, help="live ticks per second")
    parser.add_argument("--seconds", type=float, default=30.0, help="duration of live ticks")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds")
    parser.add_argument("--flink-port", type=int, default=18083, help="port of Flink's REST API")
    parser.add_argument("--only", action="append", help="name of an engine; repeatable")
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    market = Market(args.ticks, args.series, int(args.hours * 3600e6))
    with broker(args.port) as (bootstrap, folder):
        table: list[list[str]] = []
        for cells in rows(Environment(bootstrap, folder, args), market):
            # Print now, so that a later failure does not lose this result.
            print("  ".join(cells), file=sys.stderr, flush=True)
            table.append(cells)
    report.show(
        f"{market.ticks:,} ticks, {market.series:,} series, {args.hours:g} h of event time; "
        f"live: {args.rate:,} ticks/s for {args.seconds:g} s",
        HEAD,
        table,
        markdown=args.markdown,
    )


if __name__ == "__main__":
    main()
