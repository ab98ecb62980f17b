"""`homma candles`: history from the lake."""

from typing import Any

import click

from homma.cli.catalog import Catalog
from homma.cli.history_options import HistoryRequest, asks
from homma.cli.intervals import of_code
from homma.cli.options import takes
from homma.core.interval import INTERVALS
from homma.lake import history
from homma.lake.schema import CANDLES
from homma.lake.table import Lake
from homma.settings import LakeSettings

_SHOWN = {
    "source": "source",
    "symbol": "symbol",
    "dateTime": "start",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    "isFinal": "final",
    "revision": "revision",
}


@click.command()
@takes(LakeSettings)
@click.argument("code", metavar="INTERVAL")
@click.argument("symbol", metavar="[SYMBOL]", required=False, default="")
@asks
@click.option(
    "--fill",
    type=click.Choice(["none", "previous"]),
    default="none",
    help="previous: carry the last close through intervals without a tick",
)
def candles(lake: Catalog, code: str, fill: str, **asked: Any) -> None:
    """Show candles out of the lake.

    INTERVAL is one of m1 m5 m10 m15 m30 h1 h3 h4 D1 W1 M1. JSON (a line each), CSV and Parquet
    have the fields that candles have in Kafka.

    \b
    Example:
      homma candles m1 BNBUSD
      homma candles m1 BNBUSD --from 2025-03-20 --to 2025-03-21 --format csv
      homma candles D1 --from 2025-01-01 --output days.parquet
      homma candles m5 BNBUSD --from 4h --fill previous --json
    """
    question = HistoryRequest(**asked)
    spec = CANDLES[INTERVALS.index(of_code(code))]
    table = Lake(lake.properties, lake.namespace).table(spec)
    rows = history.candles(table, question.wanted, question.now_us, fill=fill == "previous")
    question.answer(rows, spec, _SHOWN)
