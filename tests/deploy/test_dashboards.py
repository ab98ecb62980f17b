"""The dashboards without servers: contents, and a layout that Grafana accepts."""

import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from homma.core.calendar import DEFAULT_CALENDAR
from homma.errors import SettingError
from homma.lake.schema import candle_tables
from homma.rendered.grafana import pipeline
from tests.deploy.prometheus_rules import known_metrics, metrics_in
from tests.support.dashboards import FOLDER, PanelQuery, dashboard, panel_queries, variables

NAMES = ("candles", "pipeline")
PROVISIONING = FOLDER.parent / "provisioning"


def test_candles_are_selected_by_source_symbol_and_interval() -> None:
    selectors = variables("candles")
    assert list(selectors) == ["trino", "lake", "source", "symbol", "interval"]
    options = {o["text"]: o["value"] for o in selectors["interval"]["options"]}
    assert options == {i.code: i.name for i in DEFAULT_CALENDAR}
    pairs = dict(pair.split(" : ") for pair in selectors["interval"]["query"].split(","))
    assert pairs == options


def test_all_intervals_have_a_row_of_panels() -> None:
    panels = dashboard("candles")["panels"]
    [row] = [index for index, panel in enumerate(panels) if panel["type"] == "row"]
    assert [panel["title"] for panel in panels[row + 1 :]] == [i.code for i in DEFAULT_CALENDAR]
    assert {panel["type"] for panel in panels[row + 1 :]} == {"candlestick"}


def test_queries_use_tables_of_the_lake() -> None:
    tables = {spec.name for spec in candle_tables(DEFAULT_CALENDAR)}
    for query in panel_queries("candles"):
        [name] = re.findall(r"\$\{lake\}\.(\S+)", query.query)
        assert name.replace("${interval}", DEFAULT_CALENDAR.finest.name) in tables


@pytest.mark.parametrize("panel", panel_queries("pipeline"), ids=lambda p: f"{p.title}-{p.ref}")
def test_a_panel_queries_existing_metrics(panel: PanelQuery) -> None:
    assert panel.query == pipeline.ALERTS or metrics_in(panel.query) <= known_metrics()


@pytest.mark.stack
def test_prometheus_parses_the_queries_of_panels(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{index}", "expr": panel.query}
        for index, panel in enumerate(panel_queries("pipeline"))
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    process = subprocess.run(
        ["promtool", "check", "rules", path], text=True, capture_output=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert f"{len(rules)} rules found" in process.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_panels_do_not_overlap_and_have_ids(name: str) -> None:
    panels = dashboard(name)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells_of = [
        {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        for at in (panel["gridPos"] for panel in panels)
    ]
    assert all(x < 24 for cells in cells_of for x, _ in cells)
    assert not any(a & b for a, b in combinations(cells_of, 2))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_dashboard_in_utc(name: str) -> None:
    board = Dashboard.from_json(dashboard(name))
    assert board.timezone == "utc"
    assert board.uid == f"homma-{name}"
    assert board.editable is False


def test_the_data_sources_match_the_variables() -> None:
    [sources] = [
        yaml.safe_load(path.read_text("utf-8"))["datasources"]
        for path in (PROVISIONING / "datasources").iterdir()
    ]
    kinds = {source["type"] for source in sources}
    assert kinds == {
        variable["query"]
        for name in NAMES
        for variable in variables(name).values()
        if variable["type"] == "datasource"
    }
    assert all(source["url"].startswith("$__env{HOMMA_") for source in sources)


def test_without_the_sdk_an_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from homma.cli.main import homma  # noqa: PLC0415
    from homma.cli.verbs import render  # noqa: PLC0415

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(render, "import_module", missing)
    with pytest.raises(SettingError, match="not installed"):
        render.renderers(DEFAULT_CALENDAR)["deploy/grafana/dashboards/candles.json"](homma)
