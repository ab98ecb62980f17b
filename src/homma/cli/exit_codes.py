"""Exit statuses, and what an error says at the end."""

from typing import Final

import click

from homma.errors import HommaError, SettingError

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130


def told(error: HommaError) -> int:
    """Say it on stderr, in one sentence; the exit status that goes with it."""
    click.echo(f"homma: {error}", err=True)
    return WRONG_USAGE if isinstance(error, SettingError) else FAILED
