"""How fast the engine is, against others on the same ticks, in one run.

    make bench                                      4 million ticks, 100 and 10,000 series
    make bench ARGS="--series 100 --rounds 3"

Machines differ: quote the ratios.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import contenders, report
from bench.broker import broker, takes_port
from bench.contenders import Missing, Result
from bench.market import Market
from homma.settings import TopicSettings

RAW = "raw loop"
#: The event time that the ticks span where nothing else is asked. Of 4 million ticks 100 series
#: have 5 a second and series in 2 h; 10,000 series have 2 in 200 s and, the hard case, one in 18 s
#: in 2 h: about as many candle records as ticks.
SPANS_S: dict[int, tuple[float, ...]] = {10_000: (200.0, 7200.0)}
ANY_SPAN_S = (7200.0,)


@dataclass(frozen=True)
class Round:
    """One turn of all contenders on one market."""

    bootstrap: str
    folder: Path
    market: Market
    number: int
    quix_ticks: int

    def topics(self, name: str) -> TopicSettings:
        """Topics of their own, for each engine's candles."""
        own = f"{name}_{self.market.series}_{self.market.span_us}_{self.number}"
        return TopicSettings(
            topic=f"{own}_ticks", candle_topic=own + "_{name}", replication_factor=1
        )

    def turns(self) -> dict[str, Callable[[], Result]]:
        """Contenders by name, in their order. One engine's ticks are what the others read."""
        one, two = self.topics("one"), self.topics("two")
        return {
            "homma": lambda: contenders.homma(self.bootstrap, one, self.market, self.folder, 1),
            "kcat": lambda: contenders.kcat(self.bootstrap, one.topic, self.market),
            RAW: lambda: contenders.raw_loop(self.bootstrap, one.topic, self.market),
            "Quix Streams": lambda: contenders.quix(
                self.bootstrap, one.topic, min(self.quix_ticks, self.market.ticks), self.folder
            ),
            "homma, 2 processes": lambda: contenders.homma(
                self.bootstrap, two, self.market, self.folder, 2
            ),
        }


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=4_000_000)
    parser.add_argument("--series", type=int, action="append", help="100 and 10000")
    parser.add_argument("--hours", type=float, action="append", help="event time the ticks span")
    parser.add_argument("--rounds", type=int, default=1, help="of which the median is shown")
    parser.add_argument("--quix-ticks", type=int, default=200_000, help="its share of the ticks")
    parser.add_argument("--only", action="append", help="contenders, by name")
    takes_port(parser)
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    for series in asked.series or (100, 10_000):
        spans_s = tuple(hours * 3600 for hours in asked.hours or ())
        for span_s in spans_s or SPANS_S.get(series, ANY_SPAN_S):
            compare(asked, Market(asked.ticks, series, int(span_s * 1e6)))


def compare(asked: argparse.Namespace, market: Market) -> None:
    """All contenders on one market, round by round."""
    found: dict[str, list[Result]] = defaultdict(list)
    with broker(asked.port) as (bootstrap, folder):
        for number in range(asked.rounds):
            turns = Round(bootstrap, folder, market, number, asked.quix_ticks).turns()
            for name, measure in turns.items():
                if asked.only and name not in asked.only:
                    continue
                try:
                    found[name].append(measure())
                except Missing as missing:
                    print(missing, file=sys.stderr)
    show(found, market, markdown=asked.markdown)


def show(found: dict[str, list[Result]], market: Market, *, markdown: bool) -> None:
    """One row a contender."""
    rates = {name: rate(results) for name, results in found.items()}
    bare = rates.get(RAW)
    rows = [
        [
            name,
            f"{rates[name]:,.0f}",
            f"{rates[name] / bare:.2f}" if bare else "",
            f"{statistics.median([r.cpu_s / r.ticks * 1e6 for r in results]):.2f}",
            f"{statistics.median([r.peak_mib for r in results]):,.0f}",
        ]
        for name, results in found.items()
    ]
    report.show(
        f"{market.ticks:,} ticks, {market.series:,} series, "
        f"{report.span(market.span_us / 1e6)} of event time",
        ("contender", "ticks/s", "÷ raw loop", "CPU s a million ticks", "peak MiB"),
        rows,
        markdown=markdown,
    )


def rate(results: list[Result]) -> float:
    """Ticks a second."""
    return statistics.median([result.ticks / result.seconds for result in results])


if __name__ == "__main__":
    main()
