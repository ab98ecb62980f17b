"""The dashboards without servers: contents, and a layout that Grafana accepts."""

import re
import subprocess
from configparser import ConfigParser
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard, VariableHide, VariableRefresh

from homma.core.calendar import DEFAULT_CALENDAR
from homma.errors import SettingError
from homma.lake.schema import candle_tables
from homma.rendered.grafana import pipeline
from tests.deploy.prometheus_rules import known_metrics, metrics_in, rules
from tests.support.dashboards import (
    FOLDER,
    PanelQuery,
    dashboard,
    interval_links,
    length_of,
    panel_queries,
    variables,
)

NAMES = ("candles", "intervals", "pipeline")
#: The panels that show one series, and the dashboards that have its variables.
OF_A_SERIES = ("candles", "intervals")
PROVISIONING = FOLDER.parent / "provisioning"


def test_candles_are_selected_by_source_symbol_and_interval() -> None:
    selectors = variables("candles")
    assert list(selectors) == ["trino", "lake", "source", "symbol", "interval"]
    options = {o["text"]: o["value"] for o in selectors["interval"]["options"]}
    assert options == {i.code: i.name for i in DEFAULT_CALENDAR}
    pairs = dict(pair.split(" : ") for pair in selectors["interval"]["query"].split(","))
    assert pairs == options


def test_a_link_sets_an_interval_and_a_range_of_at_most_150_candles() -> None:
    links = interval_links()
    assert list(links) == list(DEFAULT_CALENDAR.codes)
    for interval in DEFAULT_CALENDAR:
        link = links[interval.code]
        assert link["var-interval"] == interval.name
        # Values of variables keep the series.
        assert {"${trino:queryparam}", "${source:queryparam}", "${symbol:queryparam}"} < set(link)
        assert link["to"] == "now"
        candles = length_of(link["from"]) / timedelta(microseconds=interval.longest_us)
        is_cut = length_of(link["from"]) == timedelta(days=730)
        assert candles == 150 or (is_cut and 20 < candles < 150)
    # A choice of the interval alone would keep a range in which no candle starts.
    assert variables("candles")["interval"]["hide"] == VariableHide.HIDE_VARIABLE
    assert dashboard("candles")["time"]["from"] == links[DEFAULT_CALENDAR.finest.code]["from"]


def test_all_intervals_have_a_panel_with_at_most_60_candles_and_a_year() -> None:
    panels = dashboard("intervals")["panels"]
    assert [panel["title"] for panel in panels] == list(DEFAULT_CALENDAR.codes)
    assert {panel["type"] for panel in panels} == {"candlestick"}
    for panel, interval in zip(panels, DEFAULT_CALENDAR, strict=True):
        most = min(60 * timedelta(microseconds=interval.longest_us), timedelta(days=366))
        assert length_of(panel["timeFrom"]) == most
        [link] = panel["links"]
        assert f"var-interval={interval.name}&" in link["url"]


def test_panels_of_all_intervals_query_six_times_less_often() -> None:
    assert (dashboard("candles")["refresh"], dashboard("intervals")["refresh"]) == ("10s", "1m")
    assert len(panel_queries("candles")) < len(DEFAULT_CALENDAR.codes) / 2


@pytest.mark.parametrize("name", OF_A_SERIES)
def test_prices_have_all_digits(name: str) -> None:
    for panel in dashboard(name)["panels"]:
        defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
        if panel["type"] == "table":
            numbers = {"id": "byType", "options": "number"}
            [properties] = [o["properties"] for o in overrides if o["matcher"] == numbers]
            assert properties == [{"id": "unit", "value": "string"}]
        else:
            is_price = "divergence" not in panel["targets"][0]["rawSQL"]
            assert defaults["unit"] == ("string" if is_price else "suffix:bp")


def test_the_moving_average_and_the_vwap_are_drawn() -> None:
    for panel in (panel for name in OF_A_SERIES for panel in dashboard(name)["panels"]):
        if panel["type"] == "candlestick":
            assert panel["options"]["includeAllFields"] is True
            *named, without_values = panel["fieldConfig"]["overrides"]
            assert [o["matcher"]["options"] for o in named] == ["volume", "SMA 20", "VWAP"]
            # Such as the VWAP of candles of quotes.
            assert without_values["matcher"]["options"]["reducer"] == "allIsNull"
            [hidden] = without_values["properties"]
            assert hidden["id"] == "custom.hideFrom"
            assert hidden["value"]["legend"]


def test_the_header_has_the_price_the_change_and_the_day() -> None:
    header = dashboard("candles")["panels"][0]
    assert (header["type"], header["gridPos"]["y"]) == ("stat", 0)
    names = re.findall(r'AS "([^"]+)"', header["targets"][0]["rawSQL"])
    assert names == [
        "Last price",
        "Change",
        "Change in %",
        "Day's high",
        "Day's low",
        "Day's volume",
        "Day's VWAP",
    ]
    overridden = {o["matcher"]["options"] for o in header["fieldConfig"]["overrides"]}
    assert overridden == {"Change.*", "Change in %", "Day's volume", "Day's VWAP"}
    steps = header["fieldConfig"]["overrides"][0]["properties"][0]["value"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == [(None, "red"), (0, "green")]


def test_corrections_are_annotated() -> None:
    [annotation] = dashboard("candles")["annotations"]["list"]
    assert annotation["enable"] is True
    assert annotation["datasource"] == annotation["target"]["datasource"]
    assert "revision > 1" in annotation["target"]["rawSQL"]


def test_the_newest_table_shows_whole_times_and_when_a_candle_was_written() -> None:
    [table] = [p for p in dashboard("candles")["panels"] if p["type"] == "table"]
    times = {"id": "byType", "options": "time"}
    [properties] = [
        o["properties"] for o in table["fieldConfig"]["overrides"] if o["matcher"] == times
    ]
    assert properties == [{"id": "custom.width", "value": 190}]
    selected = table["targets"][0]["rawSQL"].splitlines()[0].removeprefix("SELECT ")
    columns = re.split(r", (?![^(]*\))", selected)
    assert columns[:4] == ["date_time AS time", "source", "symbol", "update_date_time"]
    # All columns fit in a panel of 1,280 pixels.
    minimum = table["fieldConfig"]["defaults"]["custom"]["minWidth"]
    assert 2 * 190 + (len(columns) - 2) * minimum < 1280


@pytest.mark.parametrize("name", OF_A_SERIES)
def test_without_candles_panels_say_so_and_look_again(name: str) -> None:
    for panel in dashboard(name)["panels"]:
        assert panel["fieldConfig"]["defaults"]["noValue"].startswith("No ")
    for variable in ("source", "symbol"):
        selector = variables(name)[variable]
        assert selector["refresh"] == VariableRefresh.ON_TIME_RANGE_CHANGED
        assert f"'no {variable} yet'" in selector["query"]


@pytest.mark.parametrize("name", OF_A_SERIES)
def test_queries_use_tables_of_the_lake(name: str) -> None:
    tables = {spec.name for spec in candle_tables(DEFAULT_CALENDAR)}
    for query in panel_queries(name):
        [table] = re.findall(r"\$\{lake\}\.(\S+)", query.query)
        assert table.replace("${interval}", DEFAULT_CALENDAR.finest.name) in tables


def test_every_chart_of_the_pipeline_has_a_legend() -> None:
    charts = [panel for panel in dashboard("pipeline")["panels"] if panel["type"] == "timeseries"]
    assert len(charts) == len(pipeline.CHARTS)
    assert all(chart["options"]["legend"]["showLegend"] for chart in charts)


def test_the_table_of_alerts_has_a_summary_of_each() -> None:
    assert list(pipeline.SUMMARIES) == [rule["alert"] for rule in rules("alerts.yml")]
    [table] = [p for p in dashboard("pipeline")["panels"] if p["title"] == "Alerts"]
    [override] = table["fieldConfig"]["overrides"]
    assert override["matcher"]["options"] == "summary"
    [mapping] = next(p["value"] for p in override["properties"] if p["id"] == "mappings")
    shown = {name: result["text"] for name, result in mapping["options"].items()}
    assert shown == pipeline.SUMMARIES


def test_without_a_verifier_a_grey_text_says_not_verified() -> None:
    [panel] = [p for p in dashboard("pipeline")["panels"] if p["title"].startswith("Wrong candles")]
    assert panel["targets"][0]["expr"].endswith(" or vector(-1)")
    [mapping] = panel["fieldConfig"]["defaults"]["mappings"]
    assert mapping["options"] == {"-1": {"text": "not verified", "color": "#808080"}}


@pytest.mark.parametrize("name", NAMES)
def test_the_dashboards_are_linked_and_grafana_does_not_fold_links_away(name: str) -> None:
    board = dashboard(name)
    others = board["links"][-1]
    assert (others["type"], others["tags"]) == ("dashboards", board["tags"])
    assert (others["includeVars"], others["keepTime"]) == (True, False)
    assert not any("placement" in link for link in board["links"])


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


def test_it_listens_on_localhost_only_and_finds_its_provisioning_folders() -> None:
    settings = ConfigParser()
    settings.read(FOLDER.parent / "grafana.ini")
    assert settings["server"]["http_addr"] == "127.0.0.1"
    # Grafana 9.5 to 12 log an error for each folder that is missing.
    folders = {path.name for path in PROVISIONING.iterdir()}
    assert folders == {"alerting", "dashboards", "datasources", "notifiers", "plugins"}


def test_without_the_sdk_an_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from homma.cli.main import homma  # noqa: PLC0415
    from homma.cli.verbs import render  # noqa: PLC0415

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(render, "import_module", missing)
    with pytest.raises(SettingError, match="not installed"):
        render.renderers(DEFAULT_CALENDAR)["deploy/grafana/dashboards/candles.json"](homma)
