"""What panels ask of Trino and Prometheus, and how a dashboard becomes a file."""

import json
from collections.abc import Iterable
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, RowPanel, VariableOption

#: Data sources are chosen by a variable, so that the dashboards also fit into another Grafana.
TRINO: Final = DataSourceRef(type_val="trino-datasource", uid="${trino}")
PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${prometheus}")
#: Trino's plugin counts its formats.
_SERIES, _TABLE = 0, 1


class _RenderedQuery(Dataquery):
    """A query as the data source's plugin reads it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def to_json(self) -> dict[str, Any]:
        """What stands in the dashboard."""
        return self._fields


class Query(Builder[Dataquery]):
    """A query, as panels take it."""

    def __init__(self, source: DataSourceRef, **fields: Any) -> None:
        self._asked = _RenderedQuery({"refId": "A", "datasource": source.to_json(), **fields})

    def build(self) -> Dataquery:
        """The query itself."""
        return self._asked


def table(sql: str) -> Query:
    """Rows as they are."""
    return Query(TRINO, rawSQL=sql, format=_TABLE)


def series(sql: str) -> Query:
    """A line for each value of the text columns; rows in the order of `time`."""
    return Query(TRINO, rawSQL=sql, format=_SERIES)


def lines(expression: str, legend: str, ref: str = "A") -> Query:
    """Metrics over the time that is shown."""
    return Query(PROMETHEUS, refId=ref, expr=expression, legendFormat=legend, range=True)


def now(expression: str, legend: str = "", shape: str = "time_series") -> Query:
    """Metrics as they are."""
    return Query(
        PROMETHEUS, expr=expression, legendFormat=legend, instant=True, range=False, format=shape
    )


def source(reference: DataSourceRef, label: str) -> build.DatasourceVariable:
    """The variable by which a data source is chosen."""
    assert reference.uid is not None
    assert reference.type_val is not None
    return (
        build.DatasourceVariable(reference.uid.strip("${}")).label(label).type(reference.type_val)
    )


def option(text: str, value: str, *, selected: bool = False) -> VariableOption:
    """One of the values of a variable."""
    return VariableOption(selected=selected, text=text, value=value)


def file(board: build.Dashboard) -> str:
    """The dashboard as JSON, its panels numbered."""
    made = board.build()
    for number, panel in enumerate(_panels(made), start=1):
        panel.id_val = number
    return json.dumps(made, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _panels(made: Dashboard) -> Iterable[Panel | RowPanel]:
    for panel in made.panels or []:
        yield panel
        if isinstance(panel, RowPanel):
            yield from panel.panels
