"""`homma down`: end what `homma up --detach` has started."""

import click

from homma.cli.options import takes
from homma.settings import UpSettings
from homma.stack.folder import end_owner


@click.command()
@takes(UpSettings)
def down(settings: UpSettings) -> None:
    """Stop the homma that owns a folder, and whatever it left running.

    \b
    Example:
      homma down --dir .homma
    """
    ended = end_owner(settings.dir)
    if ended.owner is None and not ended.ended:
        click.echo(f"nothing runs in {settings.dir}")
        return
    left = f", and {', '.join(s.name for s in ended.ended)} left behind" if ended.ended else ""
    click.echo(f"stopped process {ended.owner}{left}" if ended.owner else f"stopped{left}")
