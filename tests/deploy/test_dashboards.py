"""The dashboards without servers: what is on them, and that Grafana can lay them out."""

import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from homma.core.interval import INTERVALS
from homma.errors import SettingError
from homma.lake.schema import BY_NAME
from homma.rendered.grafana import pipeline
from tests.deploy.dashboards import FOLDER, Json, asked, dashboard, variables
from tests.deploy.test_prometheus import known, named

NAMES = ("candles", "pipeline")
PROVISIONING = FOLDER.parent / "provisioning"


def test_candles_are_chosen_by_source_symbol_and_interval() -> None:
    chosen = variables("candles")
    assert list(chosen) == ["trino", "lake", "source", "symbol", "interval"]
    offered = {one["text"]: one["value"] for one in chosen["interval"]["options"]}
    assert offered == {one.code: one.name for one in INTERVALS}
    pairs = dict(pair.split(" : ") for pair in chosen["interval"]["query"].split(","))
    assert pairs == offered


def test_all_intervals_stand_in_a_row_of_their_own() -> None:
    panels = dashboard("candles")["panels"]
    [row] = [place for place, panel in enumerate(panels) if panel["type"] == "row"]
    assert [panel["title"] for panel in panels[row + 1 :]] == [one.code for one in INTERVALS]
    assert {panel["type"] for panel in panels[row + 1 :]} == {"candlestick"}


def test_the_tables_that_are_asked_are_the_lakes() -> None:
    for one in asked("candles"):
        [name] = re.findall(r"\$\{lake\}\.(\S+)", one.query)
        assert name.replace("${interval}", INTERVALS[0].name) in BY_NAME


@pytest.mark.parametrize("one", asked("pipeline"), ids=lambda one: f"{one.title}-{one.ref}")
def test_a_panel_asks_for_metrics_that_there_are(one: Json) -> None:
    query = one.query  # type: ignore[attr-defined]
    assert query == pipeline.ALERTS or named(query) <= known()


@pytest.mark.stack
def test_prometheus_can_read_what_panels_ask(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{place}", "expr": one.query}
        for place, one in enumerate(asked("pipeline"))
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", path], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_panels_have_room_and_numbers(name: str) -> None:
    panels = dashboard(name)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    fields = [
        {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        for at in (panel["gridPos"] for panel in panels)
    ]
    assert all(x < 24 for field in fields for x, _ in field)
    assert not any(one & other for one, other in combinations(fields, 2))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_dashboard_in_utc(name: str) -> None:
    board = Dashboard.from_json(dashboard(name))
    assert board.timezone == "utc"
    assert board.uid == f"homma-{name}"
    assert board.editable is False


def test_the_data_sources_are_those_that_panels_choose_among() -> None:
    [sources] = [
        yaml.safe_load(path.read_text("utf-8"))["datasources"]
        for path in (PROVISIONING / "datasources").iterdir()
    ]
    kinds = {one["type"] for one in sources}
    assert kinds == {
        one["query"]
        for name in NAMES
        for one in variables(name).values()
        if one["type"] == "datasource"
    }
    assert all(one["url"].startswith("$__env{HOMMA_") for one in sources)


def test_without_the_sdk_one_is_told_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from homma.cli import render  # noqa: PLC0415

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(render, "import_module", missing)
    with pytest.raises(SettingError, match="not installed"):
        render.RENDERED["deploy/grafana/dashboards/candles.json"](None)  # type: ignore[arg-type]
