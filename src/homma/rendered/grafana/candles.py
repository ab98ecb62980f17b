"""The dashboard *Candles*: the lake's candles, of one series in detail and of all intervals."""

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

from homma.core.interval import INTERVALS, MINUTE_US, Interval
from homma.rendered.grafana import queries

#: Where the tables are; a variable, for lakes by other names.
_LAKE: Final = "iceberg.market_data"
_CHOSEN: Final = "${lake}.candle_${interval}_iceberg"
#: The smallest table that every series is in.
_COARSEST: Final = f"${{lake}}.candle_{INTERVALS[-1].name}_iceberg"
_ONE: Final = "source = ${source:sqlstring} AND symbol = ${symbol:sqlstring}"
_TIME: Final = "$__timeFilter(date_time)"
#: More candles than a screen has columns only cost time.
_MOST: Final = 2000
#: How many of an interval stand side by side where all of them are shown.
_SIDE_BY_SIDE: Final = 100


def dashboard() -> str:
    """The whole of it."""
    board = (
        build.Dashboard("Candles")
        .uid("homma-candles")
        .description("Candles of 11 intervals, from the lake through Trino.")
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
            _queried(
                "source", "SELECT DISTINCT source FROM ${lake}.candle_1month_iceberg ORDER BY 1"
            )
        )
        .with_variable(
            _queried(
                "symbol",
                f"SELECT DISTINCT symbol FROM {_COARSEST}"
                " WHERE source = ${source:sqlstring} ORDER BY 1",
            )
        )
        .with_variable(_interval())
        .with_panel(_candles())
        .with_panel(_newest())
        .with_panel(_compared())
        .with_panel(_divergence())
        .with_row(build.Row("All intervals of $source $symbol"))
    )
    for interval in INTERVALS:
        board = board.with_panel(_small(interval))
    return queries.file(board)


def _queried(name: str, sql: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(name)
        .datasource(queries.TRINO)
        .query(sql)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    )


def _interval() -> build.CustomVariable:
    first = INTERVALS[0]
    return (
        build.CustomVariable("interval")
        .label("interval")
        .values(",".join(f"{one.code} : {one.name}" for one in INTERVALS))
        .options([queries.option(i.code, i.name, selected=i is first) for i in INTERVALS])
        .current(queries.option(first.code, first.name, selected=True))
    )


def _candle_sql(table: str) -> str:
    return f"""\
SELECT * FROM (
  SELECT date_time AS time, open, high, low, close, volume
  FROM {table}
  WHERE {_ONE} AND {_TIME}
  ORDER BY date_time DESC
  LIMIT {_MOST}
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
        .legend(_legend(shown=False))
        .override_by_name("volume", [DynamicConfigValue(id_val="unit", value="short")])
    )


def _fields() -> candlestick.CandlestickFieldMap:
    # Told, the panel need not guess.
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
        _panel("$source $symbol, ${interval:text}", _CHOSEN)
        .description(
            f"The newest {_MOST} candles that start within the time shown: widen it for the "
            "coarser intervals."
        )
        .span(24)
        .height(13)
    )


def _small(interval: Interval) -> candlestick.Panel:
    minutes = _SIDE_BY_SIDE * interval.longest_us // MINUTE_US
    span = f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"
    span = span if minutes % 1440 else f"{minutes // 1440}d"
    return (
        _panel(interval.code, f"${{lake}}.candle_{interval.name}_iceberg")
        .time_from(span)
        .span(8)
        .height(8)
    )


def _newest() -> tables.Panel:
    return (
        tables.Panel()
        .title("Newest, all series")
        .datasource(queries.TRINO)
        .with_target(
            queries.table(
                f"""\
SELECT date_time AS time, source, symbol, open, high, low, close, volume, is_final, revision,
  update_date_time
FROM {_CHOSEN}
WHERE {_TIME}
ORDER BY date_time DESC, source, symbol
LIMIT 100"""
            )
        )
        .span(24)
        .height(9)
    )


def _compared() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title("$symbol by source")
        .description("The close of each source.")
        .datasource(queries.TRINO)
        .with_target(
            queries.series(
                f"""\
SELECT * FROM (
  SELECT date_time AS time, source, close
  FROM {_CHOSEN}
  WHERE symbol = ${{symbol:sqlstring}} AND {_TIME}
  ORDER BY date_time DESC
  LIMIT {2 * _MOST}
)
ORDER BY time, source"""
            )
        )
        .display_name("${__field.labels.source}")
        .legend(_legend(shown=True))
        .tooltip(_tooltip())
        .span(12)
        .height(9)
    )


def _divergence() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title("$symbol: how far the sources are apart")
        .description("Largest less smallest close, in ten-thousandths of their mean.")
        .datasource(queries.TRINO)
        .with_target(
            queries.table(
                f"""\
SELECT * FROM (
  SELECT date_time AS time, 1e4 * (max(close) - min(close)) / avg(close) AS divergence
  FROM {_CHOSEN}
  WHERE symbol = ${{symbol:sqlstring}} AND {_TIME}
  GROUP BY date_time
  HAVING count(*) > 1
  ORDER BY date_time DESC
  LIMIT {_MOST}
)
ORDER BY time"""
            )
        )
        .legend(_legend(shown=False))
        .tooltip(_tooltip())
        .span(12)
        .height(9)
    )


def _legend(*, shown: bool) -> parts.VizLegendOptions:
    return (
        parts.VizLegendOptions()
        .show_legend(shown)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )


def _tooltip() -> parts.VizTooltipOptions:
    return parts.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
