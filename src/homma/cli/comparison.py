"""What `verify` and `repair` share: the lake and the engine, and the output of a comparison."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import click

from homma.cli.catalog import Catalog
from homma.cli.history_options import instant_us
from homma.cli.options import is_given
from homma.core.calendar import calendar_of
from homma.core.compare import WRONG, Tally
from homma.core.decimals import plain_text
from homma.core.fields import VALUE_FIELDS, Prices
from homma.core.interval import BY_CODE
from homma.core.recompute import END_OF_TIME_US, EventSpan, Slice
from homma.core.tick import Price
from homma.lake.audit.engine import Engine
from homma.lake.table import Lake
from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection

#: All verdicts on a candle, the most common first.
_VERDICTS: Final = ("equal", *WRONG, "behind", "expired")


def parse_span(since: str, until: str) -> EventSpan:
    """Parse the range of start times."""
    now_us = time.time_ns() // 1000
    start_us = instant_us(since, now_us, "--from")
    end_us = instant_us(until, now_us, "--to")
    return EventSpan(start_us or 0, END_OF_TIME_US if end_us is None else end_us)


def as_engine_has_them(
    connection: Connection, topics: TopicSettings, group: str, price: Price, prices: Prices
) -> tuple[TopicSettings, Price, Prices]:
    """Return intervals, price and valid prices as the engine has committed them.

    What the user has set stays.
    """
    names = contract.topics(topics)
    engine = Engine(connection, names, group, Admin(connection).require(names.ticks))
    try:
        state = next(iter(engine.committed_states().values()), None)
    finally:
        engine.close()
    if state is None:
        return topics, price, prices
    if not is_given("intervals"):
        topics = replace(topics, intervals=calendar_of(state.metadata.intervals))
    return (
        topics,
        price if is_given("price") else state.metadata.price,
        prices if is_given("prices") else state.metadata.prices,
    )


@contextmanager
def open_lake_and_engine(
    connection: Connection, topics: contract.Topics, catalog: Catalog, group: str
) -> Iterator[tuple[Lake, Engine]]:
    """Open the lake, and the topics and offsets of the engine."""
    partitions = Admin(connection).require(topics.ticks)
    lake = Lake(catalog.properties, catalog.namespace)
    engine = Engine(connection, topics, group, partitions)
    try:
        yield lake, engine
    finally:
        engine.close()
        lake.close()


@contextmanager
def progress() -> Iterator[Callable[[Slice], None]]:
    """Show the event time reached, if stderr is a terminal; the line is cleared at the end."""
    is_shown = sys.stderr.isatty()

    def show(time_slice: Slice) -> None:
        if is_shown and time_slice.ticks.height:
            newest_us = int(time_slice.ticks["event_us"].max() or 0)  # type: ignore[arg-type]
            click.echo(f"\r  {_instant(newest_us, 0)} ", err=True, nl=False)

    try:
        yield show
    finally:
        if is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _instant(us: int, digits: int = 3) -> str:
    at = datetime.fromtimestamp(us / 1e6, UTC)
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[: 20 + digits] if digits else text[:19]


def counts_by_interval(tally: Tally) -> dict[str, dict[str, int]]:
    """Return counts by interval and verdict, for JSON output."""
    by_interval: dict[str, dict[str, int]] = {}
    for code, interval in BY_CODE.items():
        counts = {v: tally.counts[code, v] for v in _VERDICTS if (code, v) in tally.counts}
        if counts:
            by_interval[interval.name] = counts
    return by_interval


def examples(tally: Tally) -> list[dict[str, Any]]:
    """Return some of the wrong candles, each with actual and expected values."""
    return [
        {
            "verdict": verdict,
            "interval": BY_CODE[row["interval"]].name,
            "source": row["source"],
            "symbol": row["symbol"],
            "dateTime": _instant(row["start_us"]),
            "actual": _values(row, "actual_") if verdict != "missing" else None,
            "expected": _values(row, "") if verdict != "extra" else None,
        }
        for verdict, rows in tally.examples.items()
        for row in rows
    ]


def _values(row: Any, prefix: str) -> dict[str, Any]:
    """The values of a candle. Decimals are exact texts; candles of quotes have none."""
    values = {field.column: (field, row[prefix + field.column]) for field in VALUE_FIELDS}
    return {
        name: plain_text(value) if field.kind == "decimal" else value
        for name, (field, value) in values.items()
        if value or field.of != "trade"
    }


def format_tally(title: str, tally: Tally) -> str:
    """Format the counts as a table, followed by examples."""
    verdicts = [v for v in _VERDICTS if tally.count(v) or v in (*_VERDICTS[:1], *WRONG)]
    lines = [f"{title:<8}" + "".join(f"{v:>11}" for v in verdicts)]
    for name, counts in counts_by_interval(tally).items():
        lines.append(f"{name:<8}" + "".join(f"{counts.get(v, 0):>11,}" for v in verdicts))
    lines.append(f"{'all':<8}" + "".join(f"{tally.count(v):>11,}" for v in verdicts))
    for example in examples(tally):
        candle = "{interval} {source}:{symbol} {dateTime}".format_map(example)
        values = ", ".join(
            f"{key} {json.dumps(example[key])}" for key in ("actual", "expected") if example[key]
        )
        lines.append(f"  {example['verdict']}: {candle}: {values}")
    return "\n".join(lines)
