"""A group of commands that are imported when they are first used.

`homma --help` imports no command, and a command that reads a table does not wait for the Kafka
client to be imported.
"""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """Shows its commands with the given summaries; each command is in the module of its name."""

    def __init__(self, *args: Any, summaries: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._summaries = summaries
        self.commands = _Commands(summaries)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  it is a part of click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self._summaries.items()))


class _Commands(UserDict[str, click.Command]):
    """Commands by name."""

    def __init__(self, summaries: Mapping[str, str]) -> None:
        super().__init__()
        self.data: dict[str, Any] = dict.fromkeys(summaries)

    def __getitem__(self, name: str) -> click.Command:
        """Import and return the command."""
        if self.data[name] is None:
            self.data[name] = getattr(import_module(f"homma.cli.verbs.{name}"), name)
        command: click.Command = self.data[name]
        return command
