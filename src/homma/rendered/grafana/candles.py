"""The dashboard *Candles*: one series of the lake in detail."""

from typing import Final

from grafana_foundation_sdk.builders import candlestick, stat, timeseries
from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableHide,
)

from homma.core.calendar import Calendar
from homma.core.fields import CANDLE_FIELDS
from homma.core.interval import DAY_US, SECOND_US, Interval
from homma.lake.schema import CANDLE_COLUMNS
from homma.rendered.grafana import board, charts, queries, selection
from homma.rendered.grafana.candlesticks import ALL_DIGITS, MAX_CANDLES, VOLUME, panel, rounded
from homma.rendered.grafana.selection import NO_CANDLES, ONE_SERIES, TIME

_SELECTED: Final = "${lake}.candle_${interval}_iceberg"
#: Days in which the header looks for the last two days with candles.
_HEADER_DAYS: Final = 31


def dashboard(calendar: Calendar) -> str:
    """The dashboard's JSON."""
    builder = (
        board.new("candles", "Candles", since=selection.span(calendar.finest), refresh="10s")
        .description(_description(calendar))
        .links([*map(selection.interval_link, calendar), board.other_dashboards()])
        .annotation(_corrections())
    )
    builder = (
        selection.with_variables(builder, calendar.coarsest)
        .with_variable(_interval_variable(calendar))
        .with_panel(_header(_daily(calendar)))
        .with_panel(_candles(calendar))
        .with_panel(_newest())
        .with_panel(_close_by_source())
        .with_panel(_divergence())
    )
    return board.to_json(builder)


def _description(calendar: Calendar) -> str:
    count = len(calendar.intervals)
    return f"Candles of {count} interval{'s'[: count != 1]}, from the lake through Trino."


def _interval_variable(calendar: Calendar) -> build.CustomVariable:
    # Hidden, because the links above the panels set the interval together with its time range.
    first = calendar.finest
    return (
        build.CustomVariable("interval")
        .label("interval")
        .hide(VariableHide.HIDE_VARIABLE)
        .values(",".join(f"{i.code} : {i.name}" for i in calendar))
        .options([queries.option(i.code, i.name, selected=i is first) for i in calendar])
        .current(queries.option(first.code, first.name, selected=True))
    )


def _corrections() -> build.AnnotationQuery:
    sql = f"""\
SELECT
  date_time AS time,
  'Corrected: revision ' || CAST(revision AS varchar)
    || ', written ' || date_format(update_date_time, '%Y-%m-%d %H:%i:%S') AS text
FROM {_SELECTED}
WHERE {ONE_SERIES} AND {TIME} AND revision > 1
ORDER BY date_time DESC
LIMIT 100"""
    return (
        build.AnnotationQuery()
        .name("Corrections")
        .datasource(queries.TRINO)
        .enable(enable=True)
        .icon_color("purple")
        .target(queries.table(sql))
    )


def _daily(calendar: Calendar) -> Interval:
    """The coarsest interval that divides a day; the finest one if none does."""
    return next(
        (i for i in reversed(calendar.intervals) if i.longest_us <= DAY_US), calendar.finest
    )


def _header_sql(interval: Interval) -> str:
    change = rounded("last - previous", "last")
    vwap = rounded("turnover / nullif(volume, 0)", "last")
    return f"""\
SELECT
  last AS "Last price",
  {change} AS "Change",
  IF(least(last, previous) > 0, 1e2 * (last - previous) / previous) AS "Change in %",
  high AS "Day's high",
  low AS "Day's low",
  volume AS "Day's volume",
  {vwap} AS "Day's VWAP"
FROM (
  SELECT *, coalesce(lag(last) OVER (ORDER BY day), first) AS previous
  FROM (
    SELECT
      date_trunc('day', date_time) AS day,
      min_by(open, date_time) AS first,
      max_by(close, date_time) AS last,
      max(high) AS high,
      min(low) AS low,
      sum({VOLUME}) AS volume,
      CAST(sum(turnover) AS double) AS turnover
    FROM {selection.table(interval)}
    WHERE {ONE_SERIES}
      AND date_time BETWEEN $__timeTo() - INTERVAL '{_HEADER_DAYS}' DAY AND $__timeTo()
    GROUP BY 1
  )
)
ORDER BY day DESC
LIMIT 1"""


def _header(interval: Interval) -> stat.Panel:
    percent = [
        DynamicConfigValue(id_val="unit", value="percent"),
        DynamicConfigValue(id_val="decimals", value=2),
    ]
    falling = {
        "mode": "absolute",
        "steps": [{"color": "red", "value": None}, {"color": "green", "value": 0}],
    }
    return (
        stat.Panel()
        .title("$source $symbol")
        .description(
            "The day of the newest candle before the end of the time range, in UTC. The change is "
            "that from the last price of the previous day with candles. VWAP is the mean price "
            "of the day's trades, weighted by size; candles of quotes have none."
        )
        .datasource(queries.TRINO)
        .with_target(queries.table(_header_sql(interval)))
        .reduce_options(parts.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .unit(ALL_DIGITS)
        .thresholds(
            build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(color="text")])
        )
        .override_by_regexp("Change.*", [DynamicConfigValue(id_val="thresholds", value=falling)])
        .override_by_name("Change in %", percent)
        .override_by_name("Day's volume", [DynamicConfigValue(id_val="unit", value="short")])
        .override_by_name("Day's VWAP", [DynamicConfigValue(id_val="noValue", value="no trades")])
        .no_value("No candles yet")
        .span(24)
        .height(4)
    )


def _candles(calendar: Calendar) -> candlestick.Panel:
    names = ", ".join(f"'{interval.name}'" for interval in calendar)
    seconds = ", ".join(str(interval.longest_us // SECOND_US) for interval in calendar)
    return (
        panel(
            "$source $symbol, ${interval:text}",
            _SELECTED,
            f"map(ARRAY[{names}], ARRAY[{seconds}])['${{interval}}']",
        )
        .description(
            f"The newest {MAX_CANDLES} candles that start within the time range. The links above "
            "choose the interval and its range; vertical lines mark corrected candles. The volume "
            "is the number of quotes or the size of trades; VWAP is the mean price of the trades."
        )
        .span(24)
        .height(13)
    )


def _newest_columns() -> str:
    """Series and time, when it was written, and all that the API shows of a candle."""
    if_null = {column.name: column.if_null for column in CANDLE_COLUMNS}
    columns = ["date_time AS time", "source", "symbol", "update_date_time"]
    for field in CANDLE_FIELDS:
        name = field.column
        if not field.public or name == "date_time":
            continue
        if field.json == "volume":
            columns.append(f"{VOLUME} AS volume")
        elif field.kind == "decimal":
            columns.append(f"CAST({name} AS double) AS {name}")
        else:
            other = if_null[name]
            columns.append(f"coalesce({name}, {other}) AS {name}" if other else name)
    return ", ".join(columns)


def _newest() -> tables.Panel:
    wide = [DynamicConfigValue(id_val="custom.width", value=190)]
    return (
        tables.Panel()
        .title("Newest candles of all series")
        .datasource(queries.TRINO)
        .with_target(
            queries.table(
                f"""\
SELECT {_newest_columns()}
FROM {_SELECTED}
WHERE {TIME}
ORDER BY date_time DESC, source, symbol
LIMIT 100"""
            )
        )
        # All columns fit beside each other; Grafana would give each at least 150 pixels.
        .min_width(80)
        .override_by_field_type("time", wide)
        .override_by_field_type("number", [DynamicConfigValue(id_val="unit", value=ALL_DIGITS)])
        .no_value(NO_CANDLES)
        .span(24)
        .height(9)
    )


def _close_by_source() -> timeseries.Panel:
    return (
        charts.lines("Close of $symbol by source", queries.TRINO)
        .description("The closing price of each source.")
        .with_target(
            queries.series(
                f"""\
SELECT * FROM (
  SELECT date_time AS time, source, close
  FROM {_SELECTED}
  WHERE symbol = ${{symbol:sqlstring}} AND {TIME}
  ORDER BY date_time DESC
  LIMIT {2 * MAX_CANDLES}
)
ORDER BY time, source"""
            )
        )
        .display_name("${__field.labels.source}")
        .unit(ALL_DIGITS)
        .no_value(NO_CANDLES)
        .span(12)
        .height(9)
    )


def _divergence() -> timeseries.Panel:
    return (
        charts.lines("Divergence of the sources of $symbol", queries.TRINO)
        .description("Largest minus smallest close, in basis points (bp) of the mean close.")
        .with_target(
            queries.table(
                f"""\
SELECT * FROM (
  SELECT date_time AS time, 1e4 * (max(close) - min(close)) / avg(close) AS divergence
  FROM {_SELECTED}
  WHERE symbol = ${{symbol:sqlstring}} AND {TIME}
  GROUP BY date_time
  HAVING count(*) > 1 AND min(close) > 0
  ORDER BY date_time DESC
  LIMIT {MAX_CANDLES}
)
ORDER BY time"""
            )
        )
        .unit("suffix:bp")
        .decimals(2)
        .no_value("No two sources have candles of this symbol in the time range.")
        .span(12)
        .height(9)
    )
