"""The verbs, each in a module of its name that is imported when it is asked for.

A command that reads a table need not wait for the clients of Kafka, nor the other way round.
"""

from collections import UserDict
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import click


class Verbs(UserDict[str, click.Command]):
    """Commands by their names, as click wants them."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.data: dict[str, Any] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        """The verb's command."""
        if self.data[name] is None:
            self.data[name] = getattr(import_module(f"homma.cli.{name}"), name)
        command: click.Command = self.data[name]
        return command
