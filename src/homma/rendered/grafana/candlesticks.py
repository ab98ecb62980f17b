"""Candlesticks with volume and a moving average."""

from typing import Final

from grafana_foundation_sdk.builders import candlestick
from grafana_foundation_sdk.models import candlestick as shapes
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from homma.rendered.grafana import charts, queries
from homma.rendered.grafana.selection import NO_CANDLES, ONE_SERIES, TIME

#: More candles than a screen has columns would only take longer.
MAX_CANDLES: Final = 2000
#: Candles in the moving average.
AVERAGED: Final = 20
#: Formats a number with all of its digits; the units of numbers cut prices to three.
ALL_DIGITS: Final = "string"
_VALUES: Final = ("open", "high", "low", "close", "volume")


def rounded(value: str, price: str) -> str:
    """SQL that rounds a value to the eighth significant digit of a price.

    More digits would only show the errors of floating-point numbers.
    """
    return f"round({value}, 7 - CAST(floor(log10({price})) AS integer))"


def _sql(table: str, seconds: str) -> str:
    # A candle is as wide as the shortest time between two rows. An empty row one interval before
    # the first candle keeps a lone candle, and candles with gaps between them, from being too wide.
    values = ", ".join(f"IF(before = 0, {name}) AS {name}" for name in _VALUES)
    return f"""\
SELECT
  date_add('second', -before * {seconds}, start) AS time,
  {values},
  IF(before = 0 AND place >= {AVERAGED}, {rounded("average", "average")}) AS "SMA {AVERAGED}"
FROM (
  SELECT
    *,
    row_number() OVER (ORDER BY start) AS place,
    avg(close) OVER (ORDER BY start ROWS {AVERAGED - 1} PRECEDING) AS average
  FROM (
    SELECT date_time AS start, {", ".join(_VALUES)}
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
        .override_by_name(f"SMA {AVERAGED}", _thin_line())
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


def _thin_line() -> list[DynamicConfigValue]:
    color = {"mode": "fixed", "fixedColor": "orange"}
    return [
        DynamicConfigValue(id_val="color", value=color),
        DynamicConfigValue(id_val="custom.lineWidth", value=1),
        DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        DynamicConfigValue(id_val="custom.showPoints", value="never"),
    ]
