"""The dashboard *All intervals*: one series, each interval over a suitable time range.

It is a dashboard of its own because Grafana refreshes all panels of a dashboard equally often, and
these need as many queries as there are intervals.
"""

from typing import Final

from grafana_foundation_sdk.builders import candlestick

from homma.core.calendar import Calendar
from homma.core.interval import SECOND_US, Interval
from homma.rendered.grafana import board, candlesticks, charts, selection

#: The length of a panel's time range: candles, and at most a year.
_CANDLES: Final = 60
_MOST_DAYS: Final = 366


def dashboard(calendar: Calendar) -> str:
    """The dashboard's JSON."""
    # Every panel has a time range of its own.
    builder = (
        board.new("intervals", "All intervals", since="1h", refresh="1m")
        .description("All intervals of a series, from the lake through Trino.")
        .links([board.other_dashboards()])
    )
    builder = selection.with_variables(builder, calendar.coarsest)
    for interval in calendar:
        builder = builder.with_panel(_panel(interval))
    return board.to_json(builder)


def _panel(interval: Interval) -> candlestick.Panel:
    seconds = str(interval.longest_us // SECOND_US)
    return (
        candlesticks.panel(interval.code, selection.table(interval), seconds)
        .legend(charts.legend(is_visible=False))
        .time_from(selection.span(interval, _CANDLES, _MOST_DAYS))
        .links([selection.interval_link(interval)])
        .span(8)
        .height(8)
    )
