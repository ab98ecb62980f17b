"""`homma candles`: candles from the lake."""

from typing import Any, Final

import click

from homma.cli.catalog import Catalog
from homma.cli.history_options import with_history_options
from homma.cli.options import with_settings
from homma.core.fields import CANDLE_FIELDS
from homma.core.interval import BY_CODE
from homma.core.series import NAMES
from homma.errors import SettingError
from homma.settings import LakeSettings

_TITLES: Final = {"dateTime": "start", "isFinal": "final"}
#: The columns of a table for people, and their titles.
_COLUMNS: Final = {
    **{name: name for name in NAMES},
    **{f.json: _TITLES.get(f.json, f.json) for f in CANDLE_FIELDS if f.public},
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

    INTERVAL is the code of an interval, such as m1, h4, D1 or M1. JSON (one line per candle), CSV
    and Parquet have the same fields as candles in Kafka.

    \b
    Example:
      homma candles m1 BNBUSD
      homma candles m1 BNBUSD --from 2025-03-20 --to 2025-03-21 --format csv
      homma candles D1 --from 2025-01-01 --output days.parquet
      homma candles m5 BNBUSD --from 4h --fill previous --json
    """
    from homma.cli.history_request import HistoryRequest
    from homma.lake import history
    from homma.lake.schema import candle_table
    from homma.lake.table import Lake

    request = HistoryRequest(**options)
    # Also an interval that is no longer among the chosen ones: its table is still there.
    if code not in BY_CODE:
        raise SettingError(
            f"{code} is not an interval",
            f"choose one of {' '.join(BY_CODE)} (m1 is one minute, M1 one month)",
        )
    spec = candle_table(BY_CODE[code])
    table = Lake(lake.properties, lake.namespace).table(spec)
    rows = history.candles(table, request.query, request.now_us, fill=fill == "previous")
    request.write(rows, spec, _COLUMNS)
