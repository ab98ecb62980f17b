"""The options of `verify` and `repair` that select candles."""

from collections.abc import Callable
from typing import Final

import click

Command = Callable[..., None]
_OPTIONS: Final = (
    click.argument("symbol", metavar="[SYMBOL]", required=False, default=""),
    click.option("--source", default="", metavar="SOURCE", help="only this source"),
    click.option(
        "--from",
        "since",
        default="",
        metavar="TIME",
        help="candles that start at this time or later",
    ),
    click.option(
        "--to", "until", default="", metavar="TIME", help="candles that start before this time"
    ),
    click.option("--json", "as_json", is_flag=True, help="print JSON"),
)


def with_range_options(command: Command) -> Command:
    """Add the options that select candles to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
