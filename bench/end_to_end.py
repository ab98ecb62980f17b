"""The engine's throughput compared with other programs on the same ticks, in one run.

    make bench                                      4 million ticks, 100 and 10,000 series
    make bench ARGS="--series 100 --rounds 3"

Machines differ: compare the ratios.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench import contenders, report
from bench.broker import broker, takes_port
from bench.contenders import MissingProgram, Result
from bench.market import Market
from homma.settings import TopicSettings

RAW = "raw loop"
#: The default spans of event time. With 4 million ticks, 100 series have 5 ticks per second and
#: series over 2 h; 10,000 series have 2 over 200 s and, the hard case, one in 18 s over 2 h: about
#: as many candle records as ticks.
SPANS_S: dict[int, tuple[float, ...]] = {10_000: (200.0, 7200.0)}
DEFAULT_SPAN_S = (7200.0,)


@dataclass(frozen=True)
class Round:
    """One run of all contenders on one market."""

    bootstrap: str
    folder: Path
    market: Market
    number: int
    quix_ticks: int

    def topics(self, name: str) -> TopicSettings:
        """Separate topics for each engine's candles."""
        prefix = f"{name}_{self.market.series}_{self.market.span_us}_{self.number}"
        return TopicSettings(
            topic=f"{prefix}_ticks", candle_topic=prefix + "_{name}", replication_factor=1
        )

    def measurements(self) -> dict[str, Callable[[], Result]]:
        """Measurements by contender, in order. The others read the ticks of the first engine."""
        single, traded, double = self.topics("one"), self.topics("trades"), self.topics("two")
        trades = replace(self.market, kind="trade")
        return {
            "homma": lambda: contenders.homma(self.bootstrap, single, self.market, self.folder, 1),
            "homma, trades": lambda: contenders.homma(
                self.bootstrap, traded, trades, self.folder, 1
            ),
            "kcat": lambda: contenders.kcat(self.bootstrap, single.topic, self.market),
            RAW: lambda: contenders.raw_loop(self.bootstrap, single.topic, self.market),
            "Quix Streams": lambda: contenders.quix(
                self.bootstrap, single.topic, min(self.quix_ticks, self.market.ticks), self.folder
            ),
            "homma, 2 processes": lambda: contenders.homma(
                self.bootstrap, double, self.market, self.folder, 2
            ),
        }


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=4_000_000)
    parser.add_argument("--series", type=int, action="append", help="100 and 10000")
    parser.add_argument("--hours", type=float, action="append", help="event time of the ticks")
    parser.add_argument(
        "--rounds", type=int, default=1, help="number of rounds; the median is shown"
    )
    parser.add_argument("--quix-ticks", type=int, default=200_000, help="ticks for Quix Streams")
    parser.add_argument("--only", action="append", help="name of a contender; repeatable")
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    for series in args.series or (100, 10_000):
        spans_s = tuple(hours * 3600 for hours in args.hours or ())
        for span_s in spans_s or SPANS_S.get(series, DEFAULT_SPAN_S):
            compare(args, Market(args.ticks, series, int(span_s * 1e6)))


def compare(args: argparse.Namespace, market: Market) -> None:
    """All contenders on one market, round by round."""
    results: dict[str, list[Result]] = defaultdict(list)
    with broker(args.port) as (bootstrap, folder):
        for number in range(args.rounds):
            measurements = Round(bootstrap, folder, market, number, args.quix_ticks).measurements()
            for name, measure in measurements.items():
                if args.only and name not in args.only:
                    continue
                try:
                    result = measure()
                except MissingProgram as missing:
                    print(missing, file=sys.stderr)
                    continue
                # Only now: a contender that is left out has no row.
                results[name].append(result)
    show(results, market, markdown=args.markdown)


def show(results: dict[str, list[Result]], market: Market, *, markdown: bool) -> None:
    """Print one row per contender."""
    rates = {name: rate(rounds) for name, rounds in results.items()}
    raw = rates.get(RAW)
    rows = [
        [
            name,
            f"{rates[name]:,.0f}",
            f"{rates[name] / raw:.2f}" if raw else "",
            f"{statistics.median([r.cpu_s / r.ticks * 1e6 for r in rounds]):.2f}",
            f"{statistics.median([r.peak_mib for r in rounds]):,.0f}",
        ]
        for name, rounds in results.items()
    ]
    report.show(
        f"{market.ticks:,} ticks, {market.series:,} series, "
        f"{report.span(market.span_us / 1e6)} of event time",
        ("contender", "ticks/s", "÷ raw loop", "CPU s per million", "peak MiB"),
        rows,
        markdown=markdown,
    )


def rate(results: list[Result]) -> float:
    """Ticks per second, median of the rounds."""
    return statistics.median([result.ticks / result.seconds for result in results])


if __name__ == "__main__":
    main()
