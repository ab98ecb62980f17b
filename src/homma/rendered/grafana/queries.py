"""Queries of panels to Trino and Prometheus."""

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import VariableOption

#: A variable selects each data source, so that the dashboards work in any Grafana.
TRINO: Final = DataSourceRef(type_val="trino-datasource", uid="${trino}")
PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${prometheus}")
#: The numbers of the result formats of Trino's plugin.
_SERIES, _TABLE = 0, 1


class _RenderedQuery(Dataquery):
    """A query in the form of the data source's plugin."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def to_json(self) -> dict[str, Any]:
        """The query's JSON in the dashboard."""
        return self._fields


class Query(Builder[Dataquery]):
    """A builder of a query, for `with_target`."""

    def __init__(self, source: DataSourceRef, **fields: Any) -> None:
        self._query = _RenderedQuery({"refId": "A", "datasource": source.to_json(), **fields})

    def build(self) -> Dataquery:
        """The query."""
        return self._query


def table(sql: str) -> Query:
    """Rows of SQL as a table."""
    return Query(TRINO, rawSQL=sql, format=_TABLE)


def series(sql: str) -> Query:
    """One line for each value of the text columns; rows must be ordered by `time`."""
    return Query(TRINO, rawSQL=sql, format=_SERIES)


def lines(expression: str, legend: str, ref: str = "A") -> Query:
    """Metrics over the time range of the dashboard."""
    return Query(PROMETHEUS, refId=ref, expr=expression, legendFormat=legend, range=True)


def now(expression: str, legend: str = "", shape: str = "time_series") -> Query:
    """Current values of metrics."""
    return Query(
        PROMETHEUS, expr=expression, legendFormat=legend, instant=True, range=False, format=shape
    )


def source(reference: DataSourceRef, label: str) -> build.DatasourceVariable:
    """The variable that selects a data source."""
    assert reference.uid is not None
    assert reference.type_val is not None
    return (
        build.DatasourceVariable(reference.uid.strip("${}")).label(label).type(reference.type_val)
    )


def option(text: str, value: str, *, selected: bool = False) -> VariableOption:
    """A value of a variable."""
    return VariableOption(selected=selected, text=text, value=value)
