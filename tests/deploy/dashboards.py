"""The dashboards as they are committed, and their queries as Grafana would send them."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
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
    found: Json = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def asked(name: str) -> list[Asked]:
    """Every query of a dashboard."""
    return [
        Asked(panel, target)
        for panel in dashboard(name)["panels"]
        for target in panel.get("targets", [])
    ]


def variables(name: str) -> dict[str, Json]:
    return {one["name"]: one for one in dashboard(name)["templating"]["list"]}


def shown(board: Json, panel: Json, end: datetime) -> tuple[datetime, datetime]:
    """The time that a panel shows, if it is looked at then."""
    back = panel.get("timeFrom") or board["time"]["from"].removeprefix("now-")
    return end - int(back[:-1]) * UNITS[back[-1]], end


def sent(sql: str, chosen: dict[str, str], span: tuple[datetime, datetime]) -> str:
    """The query as Trino gets it: variables by Grafana, macros by the plugin for Trino."""

    def value(found: re.Match[str]) -> str:
        text = chosen[found[1]].replace("'", "''")
        return f"'{text}'" if found[2] == ":sqlstring" else text

    put_in = re.sub(r"\$\{(\w+)(:\w+)?\}", value, sql)
    # Whole seconds, without a zone: as its macros.go has it.
    since, until = (at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") for at in span)
    whole = re.sub(
        r"\$__timeFilter\(([^)]+)\)",
        rf"\1 BETWEEN TIMESTAMP '{since}' AND TIMESTAMP '{until}'",
        put_in,
    )
    assert "$" not in whole, whole
    return whole
