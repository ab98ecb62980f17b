"""Commands that are imported when they are first used.

A command that reads a table does not wait for the Kafka client to be imported, and vice versa.
"""

from collections import UserDict
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import click


class LazyCommands(UserDict[str, click.Command]):
    """Commands by name, as click expects them. Each is in the module of its name."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.data: dict[str, Any] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        """Import and return the command."""
        if self.data[name] is None:
            self.data[name] = getattr(import_module(f"homma.cli.verbs.{name}"), name)
        command: click.Command = self.data[name]
        return command
