"""What all dashboards have in common: the tags, the links between them, UTC, and the JSON.

They need Grafana 9.5 or newer, as the Trino plugin does.
"""

import json
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType

_TAG: Final = "homma"


def new(name: str, title: str, since: str, refresh: str) -> build.Dashboard:
    """A dashboard without panels, of the time from `now-{since}` on."""
    return (
        build.Dashboard(title)
        .uid(f"homma-{name}")
        .tags([_TAG])
        .timezone("utc")
        .week_start("monday")
        .time(f"now-{since}", "now")
        .refresh(refresh)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )


def other_dashboards() -> build.DashboardLink:
    """Links to the other dashboards of homma, which keep the selected series."""
    links = build.DashboardLink("").type(DashboardLinkType.DASHBOARDS).tags([_TAG])
    return links.include_vars(include_vars=True)


def to_json(builder: build.Dashboard) -> str:
    """The dashboard as JSON, with numbered panels."""
    dashboard = builder.build()
    for number, panel in enumerate(dashboard.panels or [], start=1):
        panel.id_val = number
    contents = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    # The SDK moves links and annotations into a menu, where Grafana 12.3 and newer hide them.
    for shown in (*contents["links"], *contents.get("annotations", {}).get("list", [])):
        del shown["placement"]
    return json.dumps(contents, indent=2, ensure_ascii=False) + "\n"
