"""Candlesticks with volume, a moving average, and the mean price of trades (VWAP)."""

from typing import Final

from grafana_foundation_sdk.builders import candlestick
from grafana_foundation_sdk.models import candlestick as shapes
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, MatcherConfig

from homma.rendered import trino
from homma.rendered.grafana import charts, queries
from homma.rendered.grafana.selection import NO_CANDLES, ONE_SERIES, TIME

#: More candles than a screen has columns would only take longer.
MAX_CANDLES: Final = 2000
#: Candles in the moving average.
AVERAGED: Final = 20
#: Formats a number with all of its digits; the units of numbers cut prices to three.
ALL_DIGITS: Final = "string"
#: The volume of a table's row. The panel draws no DECIMAL, as the plugin passes it on as a text.
VOLUME: Final = f"CAST({trino.VOLUME} AS double)"
_PRICES: Final = ("open", "high", "low", "close")
_VALUES: Final = (*_PRICES, "volume")
_AVERAGE: Final = f"SMA {AVERAGED}"
_VWAP: Final = "VWAP"


_HIDDEN: Final = {"legend": True, "tooltip": True, "viz": False}


def rounded(value: str, price: str) -> str:
    """SQL that rounds a value to the eighth significant digit of a price.

    More digits would only show the errors of floating-point numbers.
    """
    # Prices may be 0 or negative.
    return f"round({value}, 7 - CAST(floor(log10(greatest(abs({price}), 1e-9))) AS integer))"


def _sql(table: str, seconds: str) -> str:
    # A candle is as wide as the shortest time between two rows. An empty row one interval before
    # the first candle keeps a lone candle, and candles with gaps between them, from being too wide.
    values = ", ".join(f"IF(before = 0, {name}) AS {name}" for name in _VALUES)
    return f"""\
SELECT
  date_add('second', -before * {seconds}, start) AS time,
  {values},
  IF(before = 0 AND place >= {AVERAGED}, {rounded("average", "average")}) AS "{_AVERAGE}",
  IF(before = 0, {rounded("turnover / nullif(volume, 0)", "close")}) AS "{_VWAP}"
FROM (
  SELECT
    *,
    row_number() OVER (ORDER BY start) AS place,
    avg(close) OVER (ORDER BY start ROWS {AVERAGED - 1} PRECEDING) AS average
  FROM (
    SELECT
      date_time AS start,
      {", ".join(_PRICES)},
      {VOLUME} AS volume,
      CAST(turnover AS double) AS turnover
    FROM {table}
    WHERE {ONE_SERIES} AND {TIME}
    ORDER BY date_time DESC
    LIMIT {MAX_CANDLES}
  )
)
CROSS JOIN UNNEST(IF(place = 1, ARRAY[1, 0], ARRAY[0])) AS blank (before)
ORDER BY time"""


def panel(title: str, table: str, seconds: str) -> candlestick.Panel:
    """The newest candles of a table within the time range.

    `seconds` is SQL for the longest length of the table's interval.
    """
    return (
        candlestick.Panel()
        .title(title)
        .datasource(queries.TRINO)
        .with_target(queries.table(_sql(table, seconds)))
        .mode(shapes.VizDisplayMode.CANDLES_VOLUME)
        .candle_style(shapes.CandleStyle.CANDLES)
        .color_strategy(shapes.ColorStrategy.OPEN_CLOSE)
        .fields(_fields())
        .include_all_fields(include_all_fields=True)
        .unit(ALL_DIGITS)
        .no_value(NO_CANDLES)
        # The panel leaves candles and volume out of its legend.
        .legend(charts.legend(is_visible=True))
        .override_by_name("volume", [DynamicConfigValue(id_val="unit", value="short")])
        .override_by_name(_AVERAGE, _thin_line("orange"))
        .override_by_name(_VWAP, _thin_line("blue"))
        .with_override(
            _without_values(), [DynamicConfigValue(id_val="custom.hideFrom", value=_HIDDEN)]
        )
    )


def _fields() -> candlestick.CandlestickFieldMap:
    # Without this map, the panel guesses the fields.
    return (
        candlestick.CandlestickFieldMap()
        .open("open")
        .high("high")
        .low("low")
        .close("close")
        .volume("volume")
    )


def _without_values() -> MatcherConfig:
    """Matches fields without values: candles of quotes have no VWAP."""
    options = {"reducer": "allIsNull", "op": "gte", "value": 0}
    return MatcherConfig(id_val="byValue", options=options)


def _thin_line(name: str) -> list[DynamicConfigValue]:
    color = {"mode": "fixed", "fixedColor": name}
    return [
        DynamicConfigValue(id_val="color", value=color),
        DynamicConfigValue(id_val="custom.lineWidth", value=1),
        DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        DynamicConfigValue(id_val="custom.showPoints", value="never"),
    ]
