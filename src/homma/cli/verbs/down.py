"""`homma down`: stop what `homma up --detach` has started."""

import click

from homma.cli.options import with_settings
from homma.settings import UpSettings


@click.command()
@with_settings(UpSettings)
def down(settings: UpSettings) -> None:
    """Stop the `homma up` that uses the data folder.

    This also stops processes left over from an earlier `homma up`.

    \b
    Example:
      homma down --dir .homma
    """
    from homma.stack.processes.folder import end_owner

    stopped = end_owner(settings.dir)
    if stopped.owner is None and not stopped.ended:
        click.echo(f"nothing runs in {settings.dir}")
        return
    names = [] if stopped.owner is None else [f"process {stopped.owner}"]
    names += [f"{status.name} (left over)" for status in stopped.ended]
    click.echo(f"stopped {', '.join(names)}")
