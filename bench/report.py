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
#: Blocks of one to eight eighths, for a line of bars.
_BARS = "▁▂▃▄▅▆▇█"


def takes_markdown(parser: argparse.ArgumentParser) -> None:
    """Add the flag for Markdown output."""
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in the README")


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print one table; all columns except the first are numbers."""
    if markdown:
        print(f"\n{title}\n")
        print(_line(head))
        print(_line(["---", *["---:"] * (len(head) - 1)]))
        for row in rows:
            print(_line(row))
        return
    table = Table(title=title)
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # Do not truncate in a file or a pipe.
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """The machine, the versions, and the load by other processes."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("confluent-kafka", "polars"))
    gib = psutil.virtual_memory().total / (1 << 30)
    return (
        f"{os.cpu_count()} cores, {gib:.0f} GiB, Python {platform.python_version()}, {packages}; "
        f"load average before the run: {os.getloadavg()[0]:.1f}"
    )


def span(seconds: float) -> str:
    """A duration of event time as text."""
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"


def line(values: Sequence[float]) -> str:
    """One bar per value, from zero to the maximum."""
    largest = max(values)
    return "".join(_BARS[min(7, int(value / largest * 8))] for value in values)
