"""`homma ticks`: ticks from the lake."""

from typing import Any, Final

import click

from homma.cli.catalog import Catalog
from homma.cli.history_options import with_history_options
from homma.cli.options import with_settings
from homma.settings import LakeSettings

#: Fields that a table for people leaves out, as few feeds have them.
_LEFT_OUT: Final = ("askMarkup", "bidMarkup", "receiveDateTime")


@click.command()
@with_settings(LakeSettings)
@click.argument("symbol", metavar="[SYMBOL]", required=False, default="")
@with_history_options
def ticks(lake: Catalog, **options: Any) -> None:
    """Show ticks from the lake.

    They include duplicates and ticks dropped as late. JSON (one line per tick), CSV and Parquet
    have the same fields as ticks in Kafka, so `homma replay` reads these files.

    \b
    Example:
      homma ticks BNBUSD
      homma ticks BNBUSD --from 2025-03-20T14:00 --to 2025-03-20T15:00 --json
      homma ticks --from 2025-03-20 --to 2025-03-21 --output day.parquet
    """
    from homma.cli.history_request import HistoryRequest
    from homma.lake import history
    from homma.lake.schema import TICKS
    from homma.lake.table import Lake

    names = [c.json for c in TICKS.columns if c.json and c.json not in _LEFT_OUT]
    request = HistoryRequest(**options)
    table = Lake(lake.properties, lake.namespace).table(TICKS)
    rows = history.ticks(table, request.query, request.now_us)
    request.write(rows, TICKS, dict(zip(names, names, strict=True)))
