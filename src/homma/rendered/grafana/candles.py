"""The dashboard *Candles*: one series of the lake in detail, and all of its intervals."""

from typing import Final

from grafana_foundation_sdk.builders import candlestick, timeseries
from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import candlestick as shapes
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DynamicConfigValue,
    VariableRefresh,
)

from homma.core.calendar import Calendar
from homma.core.fields import CANDLE_FIELDS
from homma.core.interval import SECOND_US, Interval
from homma.lake.schema import CANDLE_COLUMNS, candle_table
from homma.rendered.grafana import queries

#: Catalog and schema of the tables; a variable, for lakes with other names.
_LAKE: Final = "iceberg.market_data"
_SELECTED: Final = "${lake}.candle_${interval}_iceberg"
_ONE_SERIES: Final = "source = ${source:sqlstring} AND symbol = ${symbol:sqlstring}"
_TIME: Final = "$__timeFilter(date_time)"
#: More candles than a screen has columns would only take longer.
_MAX_CANDLES: Final = 2000
#: Candles per panel in the row of all intervals.
_CANDLES_PER_PANEL: Final = 100


#: Units of a panel's time range, longest first, in seconds.
_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def dashboard(calendar: Calendar) -> str:
    """The dashboard's JSON."""
    # The smallest table that has every series.
    coarsest = _table(calendar.coarsest)
    board = (
        build.Dashboard("Candles")
        .uid("homma-candles")
        .description(_description(calendar))
        .tags(["homma"])
        .timezone("utc")
        .week_start("monday")
        .time("now-6h", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(queries.source(queries.TRINO, "Trino"))
        .with_variable(build.ConstantVariable("lake").value(_LAKE))
        .with_variable(
            _query_variable("source", f"SELECT DISTINCT source FROM {coarsest} ORDER BY 1")
        )
        .with_variable(
            _query_variable(
                "symbol",
                f"SELECT DISTINCT symbol FROM {coarsest}"
                " WHERE source = ${source:sqlstring} ORDER BY 1",
            )
        )
        .with_variable(_interval_variable(calendar))
        .with_panel(_candles())
        .with_panel(_newest())
        .with_panel(_close_by_source())
        .with_panel(_divergence())
        .with_row(build.Row("All intervals of $source $symbol"))
    )
    for interval in calendar:
        board = board.with_panel(_small_candles(interval))
    return queries.to_json(board)


def _description(calendar: Calendar) -> str:
    count = len(calendar.intervals)
    return f"Candles of {count} interval{'s'[: count != 1]}, from the lake through Trino."


def _table(interval: Interval) -> str:
    return f"${{lake}}.{candle_table(interval).name}"


def _query_variable(name: str, sql: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(name)
        .datasource(queries.TRINO)
        .query(sql)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    )


def _interval_variable(calendar: Calendar) -> build.CustomVariable:
    first = calendar.finest
    return (
        build.CustomVariable("interval")
        .label("interval")
        .values(",".join(f"{i.code} : {i.name}" for i in calendar))
        .options([queries.option(i.code, i.name, selected=i is first) for i in calendar])
        .current(queries.option(first.code, first.name, selected=True))
    )


def _candle_sql(table: str) -> str:
    return f"""\
SELECT * FROM (
  SELECT date_time AS time, open, high, low, close, volume
  FROM {table}
  WHERE {_ONE_SERIES} AND {_TIME}
  ORDER BY date_time DESC
  LIMIT {_MAX_CANDLES}
)
ORDER BY time"""


def _panel(title: str, table: str) -> candlestick.Panel:
    return (
        candlestick.Panel()
        .title(title)
        .datasource(queries.TRINO)
        .with_target(queries.table(_candle_sql(table)))
        .mode(shapes.VizDisplayMode.CANDLES_VOLUME)
        .candle_style(shapes.CandleStyle.CANDLES)
        .color_strategy(shapes.ColorStrategy.OPEN_CLOSE)
        .fields(_fields())
        .legend(_legend(is_visible=False))
        .override_by_name("volume", [DynamicConfigValue(id_val="unit", value="short")])
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


def _candles() -> candlestick.Panel:
    return (
        _panel("$source $symbol, ${interval:text}", _SELECTED)
        .description(
            f"The newest {_MAX_CANDLES} candles that start within the time range. Coarse intervals "
            "need a longer range."
        )
        .span(24)
        .height(13)
    )


def _small_candles(interval: Interval) -> candlestick.Panel:
    seconds = _CANDLES_PER_PANEL * interval.longest_us // SECOND_US
    unit, length = next((u, length) for u, length in _UNITS if seconds % length == 0)
    return (
        _panel(interval.code, _table(interval))
        .time_from(f"{seconds // length}{unit}")
        .span(8)
        .height(8)
    )


def _newest_columns() -> str:
    """Series and time, all that the API shows of a candle, and when it was written."""
    if_null = {column.name: column.if_null for column in CANDLE_COLUMNS}
    columns = ["date_time AS time", "source", "symbol"]
    for field in CANDLE_FIELDS:
        name = field.column
        if field.public and name != "date_time":
            other = if_null[name]
            columns.append(f"coalesce({name}, {other}) AS {name}" if other else name)
    return ", ".join([*columns, "update_date_time"])


def _newest() -> tables.Panel:
    return (
        tables.Panel()
        .title("Newest candles of all series")
        .datasource(queries.TRINO)
        .with_target(
            queries.table(
                f"""\
SELECT {_newest_columns()}
FROM {_SELECTED}
WHERE {_TIME}
ORDER BY date_time DESC, source, symbol
LIMIT 100"""
            )
        )
        .span(24)
        .height(9)
    )


def _close_by_source() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title("Close of $symbol by source")
        .description("The closing price of each source.")
        .datasource(queries.TRINO)
        .with_target(
            queries.series(
                f"""\
SELECT * FROM (
  SELECT date_time AS time, source, close
  FROM {_SELECTED}
  WHERE symbol = ${{symbol:sqlstring}} AND {_TIME}
  ORDER BY date_time DESC
  LIMIT {2 * _MAX_CANDLES}
)
ORDER BY time, source"""
            )
        )
        .display_name("${__field.labels.source}")
        .legend(_legend(is_visible=True))
        .tooltip(_tooltip())
        .span(12)
        .height(9)
    )


def _divergence() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title("Divergence of the sources of $symbol")
        .description("Largest minus smallest close, in basis points of the mean close.")
        .datasource(queries.TRINO)
        .with_target(
            queries.table(
                f"""\
SELECT * FROM (
  SELECT date_time AS time, 1e4 * (max(close) - min(close)) / avg(close) AS divergence
  FROM {_SELECTED}
  WHERE symbol = ${{symbol:sqlstring}} AND {_TIME}
  GROUP BY date_time
  HAVING count(*) > 1
  ORDER BY date_time DESC
  LIMIT {_MAX_CANDLES}
)
ORDER BY time"""
            )
        )
        .legend(_legend(is_visible=False))
        .tooltip(_tooltip())
        .span(12)
        .height(9)
    )


def _legend(*, is_visible: bool) -> parts.VizLegendOptions:
    return (
        parts.VizLegendOptions()
        .show_legend(is_visible)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )


def _tooltip() -> parts.VizTooltipOptions:
    return parts.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
