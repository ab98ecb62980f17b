"""What the steps of the engine take, one by one, in this process and without Kafka.

    make bench WHAT=steps
    make bench WHAT=steps ARGS="--series 10000 --only publish"

Every step is done again and again on the same input, which is possible as no step changes what it
is given. Compare with the first rows, which are not homma's: machines differ.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from bench import report
from bench.market import Market
from homma.core import tick
from homma.core.identity import Identities
from homma.core.interval import COARSEST, MINUTE_US
from homma.core.window import Window, WindowRules
from homma.feed.invalid import WAYS
from homma.topics import codec

BATCH = 20_000
#: Ticks a second of event time, and how long the window has seen them.
RATE = 20_000
SEEN_S = 660
MAX_FUTURE_US = 300_000_000
# A whole window is made batch by batch; that many suffice to fill each of its minutes.
_FILL = 40_000


@dataclass(frozen=True)
class Step:
    """Something to do, and how many of what it does at once; a rate where that means something."""

    name: str
    count: int
    of: str
    do: Callable[[], object]
    rated: bool = True


@dataclass(frozen=True)
class Scene:
    """A window of so many series that has run for eleven minutes, and the ticks that come next."""

    market: Market
    window: Window
    raw: list[bytes]
    ticks: pl.DataFrame

    @property
    def clock_us(self) -> int:
        return int(self.ticks["timestamp_us"].max())  # type: ignore[arg-type]


def checked(values: list[bytes], offset: int) -> pl.DataFrame:
    """What the engine does to the records of a batch, but for taking them out of messages."""
    parsed = codec.ticks_from(values)
    instants = tick.instant_us(pl.col("dateTime"))
    framed = parsed.with_columns(
        offset=offset + pl.int_range(len(values), dtype=pl.Int64, eager=True),
        timestamp_us=pl.coalesce(instants, pl.lit(0)),
        row=pl.int_range(len(values), dtype=pl.UInt32, eager=True),
    )
    return tick.check(framed, MAX_FUTURE_US)


def scene(series: int, thin: int) -> Scene:
    """The window holds one of `thin` ticks only, or making it would take a minute."""
    seen = RATE // thin * SEEN_S
    market = Market(seen + BATCH, series, (SEEN_S + BATCH * thin // RATE) * 1_000_000)
    window = Window(WindowRules())
    for first in range(0, seen, _FILL):
        count = min(_FILL, seen - first)
        batch = checked(codec.ticks_to(market.frame(first, count))[1], first)
        window, _ = window.apply(batch)
        window, _ = window.publish(int(batch["timestamp_us"].max()))  # type: ignore[arg-type]
    raw = codec.ticks_to(market.frame(seen, BATCH))[1]
    return Scene(market, window, raw, checked(raw, seen))


def yardsticks(raw: list[bytes]) -> Iterator[Step]:
    """What others take for the same bytes."""
    joined = b"\n".join(raw)
    yield Step("json.loads", BATCH, "ticks", lambda: [json.loads(value) for value in raw])
    yield Step("polars.read_ndjson, untyped", BATCH, "ticks", lambda: pl.read_ndjson(joined))


def parsing(raw: list[bytes]) -> Iterator[Step]:
    """Bytes to judged ticks."""
    ways = list(WAYS.values())
    spoiled = [ways[i // 10 % len(ways)](v) if i % 10 == 0 else v for i, v in enumerate(raw)]
    yield Step("parse and check", BATCH, "ticks", lambda: checked(raw, 0))
    yield Step("parse and check, 10 % bad", BATCH, "ticks", lambda: checked(spoiled, 0))


def counting(one: Scene) -> Iterator[Step]:
    """Ticks to candles, and candles to records."""
    applied, _ = one.window.apply(one.ticks)
    _, candles = applied.publish(one.clock_us)
    yield Step("apply", BATCH, "ticks", lambda: one.window.apply(one.ticks))
    yield Step("publish", candles.height, "candles", lambda: applied.publish(one.clock_us))
    yield Step("encode", candles.height, "candles", lambda: codec.candles_to(candles, one.clock_us))


def recognising(one: Scene) -> Iterator[Step]:
    """Which ticks were there before."""
    known: Identities = one.window.identities
    rows = [bucket.rows for bucket in known.buckets.values()]
    rows += (part.rows() for bucket in known.buckets.values() for part in bucket.packed)
    repeated = pl.concat(rows).tail(BATCH).with_columns(offset=pl.lit(0, pl.Int64))
    alive_us = one.window._alive_us(one.window.series) + MINUTE_US
    active = one.window.active(one.clock_us)
    yield Step("identities: known", repeated.height, "ticks", lambda: known.known(repeated))
    yield Step("identities: add", repeated.height, "ticks", lambda: known.add(repeated))
    yield Step(
        "identities: forget a minute",
        len(known),
        "ticks",
        lambda: known.forget(alive_us, active),
        rated=False,
    )


def restoring(one: Scene) -> Iterator[Step]:
    """The way back from the topics, but for reading them."""
    held = one.window.held
    names = one.window.series.select("source", "symbol")
    named = held.with_columns(names[code].gather(held["series"]) for code in names.columns)
    parts = named.sort("interval").partition_by("interval", maintain_order=True)
    values = [codec.candles_to(part, one.clock_us)[1] for part in parts]
    codes = [int(part["interval"][0]) for part in parts]

    def parsed() -> pl.DataFrame:
        frames = [codec.candles_from(v, c) for v, c in zip(values, codes, strict=True)]
        return pl.concat(frames).with_columns(published_us=pl.lit(one.clock_us))

    candles, empty = parsed(), Window(WindowRules())
    adopted = empty.restore_candles(candles)
    assert COARSEST in codes
    yield Step("restore: candles out of records", candles.height, "candles", parsed)
    yield Step("restore: adopt", candles.height, "candles", lambda: empty.restore_candles(candles))
    yield Step("restore: remember", BATCH, "ticks", lambda: adopted.restore_identities(one.ticks))


def measured(step: Step, seconds: float) -> list[float]:
    """Milliseconds of each go, for so long and at least five times, after one to warm up."""
    step.do()
    found: list[float] = []
    until_s = time.perf_counter() + seconds
    while len(found) < 5 or time.perf_counter() < until_s:
        began_s = time.perf_counter()
        step.do()
        found.append((time.perf_counter() - began_s) * 1000)
    return found


def row(step: Step, series: str, found: list[float]) -> list[str]:
    """The median, what a tenth stays below, what a tenth exceeds, and the rate."""
    tenths = statistics.quantiles(found, n=10, method="inclusive")
    middle = statistics.median(found)
    return [
        step.name,
        series,
        f"{step.count:,} {step.of}",
        f"{middle:,.2f}",
        f"{tenths[0]:,.2f} to {tenths[-1]:,.2f}",
        f"{step.count / middle * 1000:,.0f}" if step.rated else "",
    ]


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--series", type=int, action="append", help="100 and 10000")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each step")
    parser.add_argument("--thin", type=int, default=4, help="of so many ticks the window holds one")
    parser.add_argument("--only", default="", help="steps whose name contains this")
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    rows: list[list[str]] = []

    def run(steps: Iterator[Step], series: str) -> None:
        chosen = (step for step in steps if asked.only in step.name)
        rows.extend(row(step, series, measured(step, asked.seconds)) for step in chosen)

    for place, series in enumerate(asked.series or (100, 10_000)):
        one = scene(series, asked.thin)
        if not place:
            run(yardsticks(one.raw), "")
            run(parsing(one.raw), "")
        for steps in (counting, recognising, restoring):
            run(steps(one), f"{series:,}")
    show(rows, markdown=asked.markdown, thin=asked.thin)


def show(rows: list[list[str]], *, markdown: bool, thin: int) -> None:
    report.show(
        f"Steps, one partition, {SEEN_S // 60} minutes of {RATE // thin:,} ticks/s behind it",
        ("step", "series", "of", "ms", "all but the extreme tenths", "a second"),
        rows,
        markdown=markdown,
    )


if __name__ == "__main__":
    main()
