"""What `verify` and `repair` have in common: which candles, and what is said of them."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import click

from homma.cli.catalog import Catalog
from homma.cli.history_options import instant_us
from homma.core.compare import VALUES, WRONG, Tally
from homma.core.interval import INTERVALS
from homma.core.recompute import END_OF_TIME_US, EventSpan, Slice
from homma.lake.engine import Engine
from homma.lake.table import Lake
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection

Verb = Callable[..., None]
#: All that may be said of a candle, the usual first.
_VERDICTS: Final = ("equal", *WRONG, "behind", "expired")
_OPTIONS: Final = (
    click.argument("symbol", metavar="[SYMBOL]", required=False, default=""),
    click.option("--source", default="", metavar="SOURCE", help="of this source only"),
    click.option("--from", "since", default="", metavar="TIME", help="candles from this start on"),
    click.option("--to", "until", default="", metavar="TIME", help="candles that start before"),
    click.option("--json", "as_json", is_flag=True, help="in machine form"),
)


def ranged(verb: Verb) -> Verb:
    """Give a verb the options that say which candles."""
    for option in reversed(_OPTIONS):
        verb = option(verb)
    return verb


def span_of(since: str, until: str) -> EventSpan:
    """The range as it was typed."""
    now_us = time.time_ns() // 1000
    start_us = instant_us(since, now_us, "--from")
    end_us = instant_us(until, now_us, "--to")
    return EventSpan(start_us or 0, END_OF_TIME_US if end_us is None else end_us)


@contextmanager
def opened(
    kafka: Connection, topics: contract.Topics, catalog: Catalog, group: str
) -> Iterator[tuple[Lake, Engine]]:
    """The lake, and the engine looked at from outside."""
    partitions = Admin(kafka).require(topics.ticks)
    lake = Lake(catalog.properties, catalog.namespace)
    engine = Engine(kafka, topics, group, partitions)
    try:
        yield lake, engine
    finally:
        engine.close()
        lake.close()


def progress() -> Callable[[Slice], None]:
    """On a terminal, how far it is."""
    if not sys.stderr.isatty():
        return lambda _: None

    def show(piece: Slice) -> None:
        if piece.ticks.height:
            newest_us = int(piece.ticks["event_us"].max() or 0)  # type: ignore[arg-type]
            click.echo(f"\r  {_instant(newest_us, 0)} ", err=True, nl=False)

    return show


def _instant(us: int, digits: int = 3) -> str:
    at = datetime.fromtimestamp(us / 1e6, UTC)
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[: 20 + digits] if digits else text[:19]


def counted(tally: Tally) -> dict[str, dict[str, int]]:
    """Counts by interval and verdict, as JSON has them."""
    found: dict[str, dict[str, int]] = {}
    for code, interval in enumerate(INTERVALS):
        counts = {v: tally.counts[code, v] for v in _VERDICTS if (code, v) in tally.counts}
        if counts:
            found[interval.name] = counts
    return found


def examples(tally: Tally) -> list[dict[str, Any]]:
    """Some of the candles that are wrong: what was found, and what must be."""
    names = VALUES[:5]
    return [
        {
            "verdict": verdict,
            "interval": INTERVALS[row["interval"]].name,
            "source": row["source"],
            "symbol": row["symbol"],
            "dateTime": _instant(row["start_us"]),
            "found": _values(row, "found_") if verdict != "missing" else None,
            "right": {name: row[name] for name in names} if verdict != "extra" else None,
        }
        for verdict, rows in tally.examples.items()
        for row in rows
    ]


def _values(row: Any, prefix: str) -> dict[str, Any]:
    return {name: row[prefix + name] for name in VALUES[:5]}


def as_text(title: str, tally: Tally) -> str:
    """A table for people, and the examples."""
    used = [v for v in _VERDICTS if tally.of(v) or v in (*_VERDICTS[:1], *WRONG)]
    lines = [f"{title:<8}" + "".join(f"{v:>11}" for v in used)]
    for name, counts in counted(tally).items():
        lines.append(f"{name:<8}" + "".join(f"{counts.get(v, 0):>11,}" for v in used))
    lines.append(f"{'all':<8}" + "".join(f"{tally.of(v):>11,}" for v in used))
    for one in examples(tally):
        place = f"{one['interval']} {one['source']}:{one['symbol']} {one['dateTime']}"
        said = ", ".join(
            f"{what} {json.dumps(one[what])}" for what in ("found", "right") if one[what]
        )
        lines.append(f"  {one['verdict']}: {place}: {said}")
    return "\n".join(lines)
