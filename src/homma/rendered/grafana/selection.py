"""The choice of a series and an interval: variables, their use in SQL, and links that set them."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, VariableRefresh

from homma.core.interval import DAY_US, SECOND_US, Interval
from homma.lake.schema import candle_table
from homma.rendered.grafana import queries

#: Catalog and schema of the tables; a variable, for lakes with other names.
_LAKE: Final = "iceberg.market_data"
ONE_SERIES: Final = "source = ${source:sqlstring} AND symbol = ${symbol:sqlstring}"
TIME: Final = "$__timeFilter(date_time)"
#: What panels say without rows.
NO_CANDLES: Final = (
    "No candles of this selection start in the time range. In a new lake, the first ones appear "
    "with the first commits of homma land."
)
#: The length of the range that belongs to an interval: candles, and at most two years.
_CANDLES: Final = 150
_MOST_DAYS: Final = 730
#: Units of a time range, longest first, in seconds.
_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def with_variables(board: build.Dashboard, coarsest: Interval) -> build.Dashboard:
    """Add the variables of a series. `coarsest` has the smallest table that knows every series."""
    return (
        board.with_variable(queries.source(queries.TRINO, "Trino"))
        .with_variable(build.ConstantVariable("lake").value(_LAKE))
        .with_variable(_most_active("source", coarsest, "true"))
        .with_variable(_most_active("symbol", coarsest, "source = ${source:sqlstring}"))
    )


def _most_active(name: str, coarsest: Interval, condition: str) -> build.QueryVariable:
    """A variable that selects a source or a symbol, the one with most ticks first.

    Without candles it has one value, as an empty variable would make queries invalid. The values
    are queried at every refresh, so that the first candles need no reload of the page.
    """
    sql = f"""\
SELECT coalesce({name}, 'no {name} yet') AS {name}
FROM (VALUES 1) AS one (one) LEFT JOIN (
  SELECT {name}, max(date_time) AS newest, sum(volume) AS volume
  FROM {table(coarsest)}
  WHERE {condition}
  GROUP BY {name}
) ON true
ORDER BY newest DESC, volume DESC, 1"""
    return (
        build.QueryVariable(name)
        .label(name)
        .datasource(queries.TRINO)
        .query(sql)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def table(interval: Interval) -> str:
    """The table of an interval's candles, with the catalog and schema of the variable."""
    return f"${{lake}}.{candle_table(interval).name}"


def span(interval: Interval, candles: int = _CANDLES, most_days: int = _MOST_DAYS) -> str:
    """A number of candles of an interval as a length of time for Grafana, such as `25h`."""
    seconds = min(candles * interval.longest_us, most_days * DAY_US) // SECOND_US
    unit, length = next((u, length) for u, length in _UNITS if seconds % length == 0)
    return f"{seconds // length}{unit}"


def interval_link(interval: Interval) -> build.DashboardLink:
    """A link to an interval of the selected series, which also sets the time range."""
    series = "&".join(f"${{{name}:queryparam}}" for name in ("trino", "source", "symbol"))
    choice = f"var-interval={interval.name}&from=now-{span(interval)}&to=now"
    return (
        build.DashboardLink(interval.code)
        .type(DashboardLinkType.LINK)
        .icon("bolt")
        .url(f"/d/homma-candles/candles?{series}&{choice}")
    )
