"""What the charts of all dashboards have in common. The SDK's own defaults hide every legend."""

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.common import (
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)


def lines(title: str, source: DataSourceRef) -> timeseries.Panel:
    """A panel of lines over time, with a legend."""
    tooltip = parts.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    return (
        timeseries.Panel()
        .title(title)
        .datasource(source)
        .legend(legend(is_visible=True))
        .tooltip(tooltip)
    )


def legend(*, is_visible: bool) -> parts.VizLegendOptions:
    """The names of the lines below the panel."""
    return (
        parts.VizLegendOptions()
        .show_legend(is_visible)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
