"""`homma candles`: candles from the lake."""

from typing import Any

import click

from homma.cli.catalog import Catalog
from homma.cli.history_options import HistoryRequest, with_history_options
from homma.cli.intervals import parse_interval
from homma.cli.options import with_settings
from homma.core.interval import INTERVALS
from homma.lake import history
from homma.lake.schema import CANDLES
from homma.lake.table import Lake
from homma.settings import LakeSettings

_COLUMNS = {
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
@with_settings(LakeSettings)
@click.argument("code", metavar="INTERVAL")
@click.argument("symbol", metavar="[SYMBOL]", required=False, default="")
@with_history_options
@click.option(
    "--fill",
    type=click.Choice(["none", "previous"]),
    default="none",
    help="previous: fill intervals without ticks with the previous close  [none]",
)
def candles(lake: Catalog, code: str, fill: str, **options: Any) -> None:
    """Show candles from the lake.

    INTERVAL is one of m1 m5 m10 m15 m30 h1 h3 h4 D1 W1 M1. JSON (one line per candle), CSV and
    Parquet have the same fields as candles in Kafka.

    \b
    Example:
      homma candles m1 BNBUSD
      homma candles m1 BNBUSD --from 2025-03-20 --to 2025-03-21 --format csv
      homma candles D1 --from 2025-01-01 --output days.parquet
      homma candles m5 BNBUSD --from 4h --fill previous --json
    """
    request = HistoryRequest(**options)
    spec = CANDLES[INTERVALS.index(parse_interval(code))]
    table = Lake(lake.properties, lake.namespace).table(spec)
    rows = history.candles(table, request.query, request.now_us, fill=fill == "previous")
    request.write(rows, spec, _COLUMNS)
