"""`homma ticks`: recorded ticks from the lake."""

from typing import Any

import click

from homma.cli.catalog import Catalog
from homma.cli.history_options import HistoryRequest, asks
from homma.cli.options import takes
from homma.lake import history
from homma.lake.schema import TICKS
from homma.lake.table import Lake
from homma.settings import LakeSettings

_SHOWN = {
    name: name
    for name in ("source", "symbol", "dateTime", "number", "bid", "ask", "mid", "isTradable")
}


@click.command()
@takes(LakeSettings)
@click.argument("symbol", metavar="[SYMBOL]", required=False, default="")
@asks
def ticks(lake: Catalog, **asked: Any) -> None:
    """Show ticks out of the lake, copies and too late ones too.

    JSON (a line each), CSV and Parquet have the fields that ticks have in Kafka: `homma replay`
    takes such files.

    \b
    Example:
      homma ticks BNBUSD
      homma ticks BNBUSD --from 2025-03-20T14:00 --to 2025-03-20T15:00 --json
      homma ticks --from 2025-03-20 --to 2025-03-21 --output day.parquet
    """
    question = HistoryRequest(**asked)
    table = Lake(lake.properties, lake.namespace).table(TICKS)
    question.answer(history.ticks(table, question.wanted, question.now_us), TICKS, _SHOWN)
