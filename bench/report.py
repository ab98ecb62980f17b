"""Tables: for the terminal, or as Markdown for the README."""

import argparse
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

import psutil
from rich.console import Console
from rich.table import Table

_WIDE = 160
#: The eighths of a block, for a line of heights.
_BARS = "▁▂▃▄▅▆▇█"


def takes_markdown(parser: argparse.ArgumentParser) -> None:
    """The flag that asks for Markdown."""
    parser.add_argument("--markdown", action="store_true", help="print what the README shows")


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """One table; all columns but the first are numbers."""
    if markdown:
        print(f"\n{title}\n")
        print(_line(head))
        print(_line(["---", *["---:"] * (len(head) - 1)]))
        for row in rows:
            print(_line(row))
        return
    table = Table(title=title)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # In a file or a pipe nothing is cut off.
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """What this is measured on, and whether others use it as well."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("confluent-kafka", "polars"))
    gib = psutil.virtual_memory().total / (1 << 30)
    return (
        f"{os.cpu_count()} cores, {gib:.0f} GiB, Python {platform.python_version()}, {packages}; "
        f"load before: {os.getloadavg()[0]:.1f}"
    )


def span(seconds: float) -> str:
    """A length of event time."""
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"


def line(values: Sequence[float]) -> str:
    """Heights from zero to the largest, a character each."""
    most = max(values)
    return "".join(_BARS[min(7, int(value / most * 8))] for value in values)
