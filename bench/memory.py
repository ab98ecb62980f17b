"""The engine's memory over an hour of event time.

    make bench WHAT=memory                                  15 min of 20,000 ticks per second
    make bench WHAT=memory ARGS="--minutes 60 --series 100"

Ticks are sent as fast as the engine follows, at most a few seconds of ticks ahead, so an hour of
event time takes less than an hour. This is the hard case, as the engine's queues are always full.
With `--speed 1` ticks arrive as live. Identities are kept for eleven minutes of event time: from
then on memory should be flat. The resident set is sampled; the peak is the kernel's.
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

#: Maximum ticks ahead of the engine: enough that the engine never waits.
AHEAD = 1_000_000
#: Identities are complete after this time.
FILLED_MIN = 11
_LINE = 60


@dataclass(frozen=True)
class Sample:
    """Minutes of event time, and the engine's resident set then."""

    minutes: float
    rss_mib: float


def samples_of(
    group: Engines, engine: Engine, sender: Sender, topic: str, market: Market, speed: float
) -> Iterator[Sample]:
    """Feed the market, and take a sample at every step."""
    sent, seconds, began_s = 0, market.span_us / 1e6, time.monotonic()
    # With --speed, steps of a tenth of a second.
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
        samples = list(samples_of(group, engine, sender, topics.topic, market, speed))
        engine.end()
    return samples, engine.peak_mib


def row(market: Market, samples: Sequence[Sample], peak_mib: float) -> list[str]:
    """The peak, and the maximum over the first minutes, the middle and the end."""
    minutes = market.span_us / 6e7
    half = (FILLED_MIN + minutes) / 2
    spans = ((0.0, float(FILLED_MIN)), (FILLED_MIN, half), (half, minutes + 1))
    sets = ([s.rss_mib for s in samples if first <= s.minutes < last] for first, last in spans)
    maxima = (f"{max(values):,.0f}" if values else "" for values in sets)
    return [f"{market.series:,}", f"{peak_mib:,.0f}", *maxima]


def sparkline(samples: Sequence[Sample]) -> str:
    """The maximum of each part of the run, as a line of bars."""
    length = samples[-1].minutes / _LINE
    parts: list[float] = []
    for part in range(_LINE):
        values = [s.rss_mib for s in samples if int(s.minutes / length) == part]
        # Candles are committed about once per second: a part may have no sample.
        parts.append(max(values, default=parts[-1] if parts else samples[0].rss_mib))
    return report.line(parts)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=int, default=15, help="of event time")
    parser.add_argument("--rate", type=int, default=20_000, help="ticks per second of event time")
    parser.add_argument(
        "--speed", type=float, default=0.0, help="event time per real time; 0: as fast as possible"
    )
    parser.add_argument("--series", type=int, action="append", help="100 and 10000")
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    rows: list[list[str]] = []
    lines: list[str] = []
    for series in args.series or (100, 10_000):
        market = Market(args.minutes * 60 * args.rate, series, args.minutes * 60_000_000)
        # A broker per run, so that the disk has the ticks of one run only.
        with broker(args.port) as (bootstrap, folder):
            samples, peak_mib = measure(bootstrap, folder, market, args.speed)
        rows.append(row(market, samples, peak_mib))
        lines.append(f"    {series:6,} series  {sparkline(samples)}")
    report.show(
        f"{args.minutes} min of event time at {args.rate:,} ticks/s; resident set in MiB",
        ("series", "peak", f"up to minute {FILLED_MIN}", "then", "second half of the rest"),
        rows,
        markdown=args.markdown,
    )
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
