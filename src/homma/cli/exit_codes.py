"""Exit statuses, and the message of an error."""

from typing import Final

import click

from homma.errors import HommaError, SettingError

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130


def report_error(error: HommaError) -> int:
    """Print the error to stderr in one sentence, and return the exit status."""
    click.echo(f"homma: {error}", err=True)
    return WRONG_USAGE if isinstance(error, SettingError) else FAILED
