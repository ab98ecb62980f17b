"""The options of `candles` and `ticks`: which rows to read, and how to write them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from homma.durations import microseconds, parse_duration
from homma.errors import SettingError

FORMATS: Final = ("table", "csv", "json", "parquet")

Command = Callable[..., None]
OPTIONS: Final = (
    click.option("--source", default="", metavar="SOURCE", help="only this source"),
    click.option("--from", "since", default="", metavar="TIME", help="rows at this time or later"),
    click.option("--to", "until", default="", metavar="TIME", help="rows before this time"),
    click.option(
        "--last",
        type=click.IntRange(0),
        metavar="N",
        help="newest N rows of each series; 0: all  [20 in a table without --from, else 0]",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        help="output format  [table]",
    ),
    click.option("--json", "as_json", is_flag=True, help="the same as --format json"),
    click.option(
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="output file; without --format, its extension sets the format",
    ),
)


def with_history_options(command: Command) -> Command:
    """Add OPTIONS to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def instant_us(text: str, now_us: int, flag: str) -> int | None:
    """Parse a time as users type it into microseconds since 1970; None if empty."""
    if not text:
        return None
    try:
        return now_us - microseconds(parse_duration(text))
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingError(
            f"{flag} {text} is not a time",
            "write a UTC time such as 2025-03-20 or 2025-03-20T14:31, or an age such as 90min",
        ) from error
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return round((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
