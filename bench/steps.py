"""The time of each step of the engine, in this process and without Kafka.

    make bench WHAT=steps
    make bench WHAT=steps ARGS="--series 10000 --only publish"
    make bench WHAT=steps ARGS="--price trade"

Every step is repeated on the same input, which is possible as no step changes its input. Compare
with the first rows, which are not homma's own code: machines differ.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

import polars as pl

from bench import report
from bench.market import Market
from homma.core import tick
from homma.core.fields import TickKind
from homma.core.identity import Identities
from homma.core.interval import BY_CODE, CLOCK, MINUTE_US
from homma.core.tick import Price, TickRules
from homma.core.window import Window, WindowRules
from homma.feed.invalid import CORRUPTIONS
from homma.topics import codec

BATCH = 20_000
#: Ticks per second of event time, and the duration of the ticks in the window.
RATE = 20_000
FILLED_S = 660
RULES = TickRules(300_000_000)
# Batch size for filling a window: enough ticks for each of its minutes.
_FILL = 40_000


@dataclass(frozen=True)
class Step:
    """A step, with the number of items per run; `has_rate` shows items per second."""

    name: str
    count: int
    items: str
    run: Callable[[], object]
    has_rate: bool = True


@dataclass(frozen=True)
class Setup:
    """A window after eleven minutes of ticks, and the next ticks."""

    market: Market
    window: Window
    raw: list[bytes]
    ticks: pl.DataFrame

    @property
    def rules(self) -> WindowRules:
        return self.window.rules

    @property
    def kind(self) -> TickKind:
        return tick.kind_of(self.rules.price)

    @property
    def clock_us(self) -> int:
        return int(self.ticks["timestamp_us"].max())  # type: ignore[arg-type]


def parse_and_check(values: list[bytes], offset: int) -> pl.DataFrame:
    """Parse and check the records of a batch, without extracting them from messages."""
    parsed = codec.decode_ticks(values)
    instants = tick.instant_us(pl.col("dateTime"))
    rows = parsed.with_columns(
        offset=offset + pl.int_range(len(values), dtype=pl.Int64, eager=True),
        timestamp_us=pl.coalesce(instants, pl.lit(0)),
        row=pl.int_range(len(values), dtype=pl.UInt32, eager=True),
    )
    return tick.check(rows, RULES)


def set_up(series: int, thin: int, price: Price) -> Setup:
    """Fill a window with one of `thin` ticks; filling it with all would take a minute."""
    count = RATE // thin * FILLED_S
    span_us = (FILLED_S + BATCH * thin // RATE) * 1_000_000
    market = Market(count + BATCH, series, span_us, kind=tick.kind_of(price))
    window = Window(WindowRules(price=price))
    for first in range(0, count, _FILL):
        height = min(_FILL, count - first)
        batch = parse_and_check(codec.encode_ticks(market.frame(first, height))[1], first)
        window, _ = window.apply(batch)
        window, _ = window.publish(int(batch["timestamp_us"].max()))  # type: ignore[arg-type]
    raw = codec.encode_ticks(market.frame(count, BATCH))[1]
    return Setup(market, window, raw, parse_and_check(raw, count))


def baselines(raw: list[bytes]) -> Iterator[Step]:
    """Other libraries on the same bytes."""
    joined = b"\n".join(raw)
    yield Step("json.loads", BATCH, "ticks", lambda: [json.loads(value) for value in raw])
    yield Step("polars.read_ndjson, untyped", BATCH, "ticks", lambda: pl.read_ndjson(joined))


def parsing(raw: list[bytes]) -> Iterator[Step]:
    """Bytes to checked ticks."""
    corruptions = list(CORRUPTIONS.values())
    invalid = [
        corruptions[i // 10 % len(corruptions)](v) if i % 10 == 0 else v for i, v in enumerate(raw)
    ]
    yield Step("parse and check", BATCH, "ticks", lambda: parse_and_check(raw, 0))
    yield Step("parse and check, 10 % invalid", BATCH, "ticks", lambda: parse_and_check(invalid, 0))


def counting(setup: Setup) -> Iterator[Step]:
    """Ticks to candles, and candles to records."""
    applied, _ = setup.window.apply(setup.ticks)
    _, candles = applied.publish(setup.clock_us)
    yield Step("apply", BATCH, "ticks", lambda: setup.window.apply(setup.ticks))
    yield Step("publish", candles.height, "candles", lambda: applied.publish(setup.clock_us))
    yield Step(
        "encode",
        candles.height,
        "candles",
        lambda: codec.encode_candles(candles, setup.clock_us, setup.kind),
    )


def recognising(setup: Setup) -> Iterator[Step]:
    """Deduplication of ticks."""
    known: Identities = setup.window.identities
    rows = [bucket.rows for bucket in known.buckets.values()]
    rows += (part.rows() for bucket in known.buckets.values() for part in bucket.packs)
    repeated = pl.concat(rows).tail(BATCH).with_columns(offset=pl.lit(0, pl.Int64))
    alive_us = setup.window._in_time_from_us(setup.window.series) + MINUTE_US
    active = setup.window.active_series(setup.clock_us)
    yield Step("identities: known", repeated.height, "ticks", lambda: known.known(repeated))
    yield Step("identities: add", repeated.height, "ticks", lambda: known.add(repeated))
    yield Step(
        "identities: forget a minute",
        len(known),
        "ticks",
        lambda: known.forget(alive_us, active),
        has_rate=False,
    )


def restoring(setup: Setup) -> Iterator[Step]:
    """Restoring from the topics, without reading them."""
    window_candles = setup.window.candles
    names = setup.window.series.select("source", "symbol")
    named = window_candles.with_columns(
        names[code].gather(window_candles["series"]) for code in names.columns
    )
    parts = named.sort("interval").partition_by("interval", maintain_order=True)
    values = [codec.encode_candles(part, setup.clock_us, setup.kind)[1] for part in parts]
    codes = [str(part["interval"][0]) for part in parts]

    def decoded() -> pl.DataFrame:
        frames = [codec.decode_candles(v, BY_CODE[c]) for v, c in zip(values, codes, strict=True)]
        return pl.concat(frames).with_columns(published_us=pl.lit(setup.clock_us))

    candles, empty = decoded(), Window(setup.rules)
    restored = empty.restore_candles(candles)
    assert CLOCK.code in codes
    yield Step("restore: decode candles", candles.height, "candles", decoded)
    yield Step(
        "restore: candles", candles.height, "candles", lambda: empty.restore_candles(candles)
    )
    yield Step(
        "restore: identities", BATCH, "ticks", lambda: restored.restore_identities(setup.ticks)
    )


def measure(step: Step, seconds: float) -> list[float]:
    """Milliseconds of each run, for `seconds` and at least five runs, after one warm-up run."""
    step.run()
    times_ms: list[float] = []
    deadline_s = time.perf_counter() + seconds
    while len(times_ms) < 5 or time.perf_counter() < deadline_s:
        began_s = time.perf_counter()
        step.run()
        times_ms.append((time.perf_counter() - began_s) * 1000)
    return times_ms


def row(step: Step, series: str, times_ms: list[float]) -> list[str]:
    """The median, the first and the last decile, and the rate."""
    tenths = statistics.quantiles(times_ms, n=10, method="inclusive")
    median_ms = statistics.median(times_ms)
    return [
        step.name,
        series,
        f"{step.count:,} {step.items}",
        f"{median_ms:,.2f}",
        f"{tenths[0]:,.2f} to {tenths[-1]:,.2f}",
        f"{step.count / median_ms * 1000:,.0f}" if step.has_rate else "",
    ]


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--series", type=int, action="append", help="100 and 10000")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each step")
    parser.add_argument(
        "--thin", type=int, default=4, help="fill the window with one of this many ticks"
    )
    parser.add_argument("--price", default="mid", choices=get_args(Price), help="of the candles")
    parser.add_argument("--only", default="", help="only steps whose name contains this text")
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    rows: list[list[str]] = []

    def run(steps: Iterator[Step], series: str) -> None:
        selected = (step for step in steps if args.only in step.name)
        rows.extend(row(step, series, measure(step, args.seconds)) for step in selected)

    for index, series in enumerate(args.series or (100, 10_000)):
        setup = set_up(series, args.thin, args.price)
        if not index:
            run(baselines(setup.raw), "")
            run(parsing(setup.raw), "")
        for steps in (counting, recognising, restoring):
            run(steps(setup), f"{series:,}")
    show(rows, markdown=args.markdown, thin=args.thin)


def show(rows: list[list[str]], *, markdown: bool, thin: int) -> None:
    report.show(
        f"Steps, one partition, {FILLED_S // 60} minutes of {RATE // thin:,} ticks/s before",
        ("step", "series", "items", "ms", "deciles 1 to 9", "per second"),
        rows,
        markdown=markdown,
    )


if __name__ == "__main__":
    main()
