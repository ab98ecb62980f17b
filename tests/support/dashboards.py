"""The committed dashboards, and their queries as Grafana sends them."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
Json = dict[str, Any]


@dataclass(frozen=True)
class PanelQuery:
    """A query of a panel."""

    panel: Json
    target: Json

    @property
    def title(self) -> str:
        return str(self.panel["title"])

    @property
    def ref(self) -> str:
        return str(self.target["refId"])

    @property
    def query(self) -> str:
        return str(self.target.get("rawSQL") or self.target["expr"])


def dashboard(name: str) -> Json:
    contents: Json = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return contents


def panel_queries(name: str) -> list[PanelQuery]:
    """Every query of a dashboard."""
    return [
        PanelQuery(panel, target)
        for panel in dashboard(name)["panels"]
        for target in panel.get("targets", [])
    ]


def variables(name: str) -> dict[str, Json]:
    return {variable["name"]: variable for variable in dashboard(name)["templating"]["list"]}


def interval_links() -> dict[str, dict[str, str]]:
    """The queries of the links to the intervals, by the code of the interval.

    A value of a variable is its format, as in `${source:queryparam}`.
    """
    links = [link for link in dashboard("candles")["links"] if link["type"] == "link"]
    return {link["title"]: _query_of(link["url"]) for link in links}


def _query_of(url: str) -> dict[str, str]:
    _, _, query = url.partition("?")
    return {name: value for name, _, value in (part.partition("=") for part in query.split("&"))}


def length_of(text: str) -> timedelta:
    """A length of time, such as `25h` or `now-25h`."""
    length = text.removeprefix("now-")
    return int(length[:-1]) * UNITS[length[-1]]


def time_range(board: Json, panel: Json, end: datetime) -> tuple[datetime, datetime]:
    """The time range that a panel shows at an instant."""
    return end - length_of(panel.get("timeFrom") or board["time"]["from"]), end


def sql_for(sql: str, choices: dict[str, str], span: tuple[datetime, datetime]) -> str:
    """The SQL that Trino receives: Grafana replaces variables, the Trino plugin replaces macros."""

    def value(variable: re.Match[str]) -> str:
        text = choices[variable[1]].replace("'", "''")
        return f"'{text}'" if variable[2] == ":sqlstring" else text

    with_values = re.sub(r"\$\{(\w+)(:\w+)?\}", value, sql)
    # Whole seconds without a zone, as in the plugin's macros.go.
    since, until = (at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") for at in span)
    statement = re.sub(
        r"\$__timeFilter\(([^)]+)\)",
        rf"\1 BETWEEN TIMESTAMP '{since}' AND TIMESTAMP '{until}'",
        with_values,
    ).replace("$__timeTo()", f"TIMESTAMP '{until}'")
    assert "$" not in statement, statement
    return statement
