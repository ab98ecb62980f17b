"""What the engine holds in memory, over an hour of event time.

    make bench WHAT=memory                                  15 min of 20,000 ticks a second
    make bench WHAT=memory ARGS="--minutes 60 --series 100"

Ticks are sent as fast as the engine follows, never more than some seconds' worth ahead of it, so
an hour does not take one; that is the hard case, as its queues are full all the time. With
`--speed 1` they come in as they would live. Identities are kept for eleven minutes of event time:
from then on memory should be flat. The resident set is sampled; the peak is the kernel's own.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench import report
from bench.broker import broker, takes_port
from bench.market import STEP, Market, make_topics
from bench.processes import Engine, Engines, engines
from homma.settings import TopicSettings
from homma.topics.kafka.writing import Sender

#: So far the feed may be ahead: enough that the engine never waits for it.
AHEAD = 1_000_000
#: Identities are all there after so long.
FILLED_MIN = 11
_LINE = 60


@dataclass(frozen=True)
class Sample:
    """Minutes of event time, and what the engine held then."""

    minutes: float
    rss_mib: float


def watched(
    group: Engines, engine: Engine, sender: Sender, topic: str, market: Market, speed: float
) -> Iterator[Sample]:
    """Feed the market, and look at every step."""
    sent, seconds, began_s = 0, market.span_us / 1e6, time.monotonic()
    # At a given speed in steps of a tenth of a second.
    step = min(STEP, int(market.ticks / seconds * speed / 10)) if speed else STEP
    steps = track(
        market.records(step),
        f"{market.ticks:,} ticks, {market.series:,} series",
        total=-(-market.ticks // step),
        console=Console(stderr=True),
        transient=True,
    )
    for keys, values in steps:
        if speed:
            time.sleep(max(0.0, began_s + sent / market.ticks * seconds / speed - time.monotonic()))
        sender.send(topic, keys, values)
        sent += len(keys)
        _until(group, sent - AHEAD)
        yield Sample(group.committed() / market.ticks * seconds / 60, engine.rss_mib())
    sender.flush(60)
    _until(group, market.ticks)
    yield Sample(seconds / 60, engine.rss_mib())


def _until(group: Engines, target: int) -> None:
    group.until(lambda: group.committed() >= target)


def measure(
    bootstrap: str, folder: Path, market: Market, speed: float
) -> tuple[list[Sample], float]:
    """The samples, and the peak in MiB."""
    name = f"memory_{market.series}"
    topics = TopicSettings(
        topic=f"{name}_ticks", candle_topic=name + "_{name}", replication_factor=1
    )
    make_topics(bootstrap, topics)
    with engines(bootstrap, topics, name, folder) as group:
        engine = group.start()
        group.until(group.ready)
        sender = Sender({"bootstrap.servers": bootstrap})
        samples = list(watched(group, engine, sender, topics.topic, market, speed))
        engine.end()
    return samples, engine.peak_mib


def row(market: Market, samples: Sequence[Sample], peak_mib: float) -> list[str]:
    """The peak, and the largest set of the first minutes, of the middle and of the end."""
    minutes = market.span_us / 6e7
    half = (FILLED_MIN + minutes) / 2
    spans = ((0.0, float(FILLED_MIN)), (FILLED_MIN, half), (half, minutes + 1))
    sets = ([s.rss_mib for s in samples if first <= s.minutes < last] for first, last in spans)
    most = (f"{max(found):,.0f}" if found else "" for found in sets)
    return [f"{market.series:,}", f"{peak_mib:,.0f}", *most]


def drawn(samples: Sequence[Sample]) -> str:
    """The largest set of each part of the run, as a line."""
    length = samples[-1].minutes / _LINE
    parts: list[float] = []
    for place in range(_LINE):
        its = [s.rss_mib for s in samples if int(s.minutes / length) == place]
        # Candles are committed about once a second: a part without a sample is as the one before.
        parts.append(max(its, default=parts[-1] if parts else samples[0].rss_mib))
    return report.line(parts)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=int, default=15, help="of event time")
    parser.add_argument("--rate", type=int, default=20_000, help="ticks a second of event time")
    parser.add_argument("--speed", type=float, default=0.0, help="of event time; 0: all it can")
    parser.add_argument("--series", type=int, action="append", help="100 and 10000")
    takes_port(parser)
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    rows: list[list[str]] = []
    lines: list[str] = []
    for series in asked.series or (100, 10_000):
        market = Market(asked.minutes * 60 * asked.rate, series, asked.minutes * 60_000_000)
        # Each its own broker, so that the disk holds the ticks of one only.
        with broker(asked.port) as (bootstrap, folder):
            samples, peak_mib = measure(bootstrap, folder, market, asked.speed)
        rows.append(row(market, samples, peak_mib))
        lines.append(f"    {series:6,} series  {drawn(samples)}")
    report.show(
        f"{asked.minutes} min of event time at {asked.rate:,} ticks/s; resident set in MiB",
        ("series", "peak", f"up to minute {FILLED_MIN}", "then", "second half of that"),
        rows,
        markdown=asked.markdown,
    )
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
