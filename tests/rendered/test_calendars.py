"""Files rendered for other intervals: each can be parsed, and names these intervals only."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml
from click.testing import CliRunner, Result

from homma.cli.main import homma
from homma.cli.verbs.render import renderers
from homma.core.calendar import DEFAULT_CALENDAR, calendar_of
from homma.core.interval import BY_CODE
from homma.stack.servers.statements import split

PROJECT = Path(__file__).parents[2]
CALENDAR = calendar_of(["s10", "m20", "h2", "D1"])
NAMES = {interval.name for interval in CALENDAR}
OTHER_NAMES = {interval.name for interval in BY_CODE.values()} - NAMES


def render(root: Path, *flags: str) -> Result:
    return CliRunner().invoke(homma, ["render", "--root", str(root), *flags])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the default intervals were rendered before others."""
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    assert render(root).exit_code == 0
    result = render(root, "--intervals", "h2,s10,m20,D1", "--json")
    assert result.exit_code == 0, result.output
    removed = set(renderers(DEFAULT_CALENDAR)) - set(renderers(CALENDAR))
    assert set(json.loads(result.output)["removed"]) == removed
    return root


def rendered(root: Path, pattern: str) -> dict[str, str]:
    """The texts of the rendered files that match a pattern."""
    texts = {
        str(path.relative_to(root)): path.read_text("utf-8") for path in sorted(root.glob(pattern))
    }
    assert texts
    return texts


def test_exactly_the_files_of_the_calendar_exist(root: Path) -> None:
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {*renderers(CALENDAR), "pyproject.toml"}
    assert render(root, "--check", "--intervals", str(CALENDAR)).exit_code == 0


def test_the_check_names_files_of_other_intervals(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert render(tmp_path, "--intervals", "m1,m5").exit_code == 0
    result = render(tmp_path, "--check", "--intervals", "m1")
    assert result.exit_code == 1
    assert "deploy/trino/kafka/candle_5min.json is of an interval not rendered" in result.output


def test_the_setting_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setenv("HOMMA_INTERVALS", "s1")
    assert render(tmp_path).exit_code == 0
    assert "candle_1sec" in (tmp_path / "deploy/flink/candles.sql").read_text("utf-8")


def test_an_unknown_interval_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    result = render(tmp_path, "--intervals", "m7")
    assert result.exit_code == 2
    assert "'m7' is not one of" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]


def test_the_reference_shows_the_defaults(root: Path) -> None:
    for name in ("settings.md", "topics.md", "commands.md", "asyncapi.json"):
        page = root / "docs" / "reference" / name
        defaults = renderers(DEFAULT_CALENDAR)[f"docs/reference/{name}"](homma)
        assert page.read_text("utf-8") == defaults


@pytest.mark.parametrize("pattern", ["deploy/**/*", "terraform/**/*", "ksqldb/*"])
def test_no_other_interval_is_named(root: Path, pattern: str) -> None:
    others = re.compile(rf"(?<![0-9])({'|'.join(sorted(OTHER_NAMES))})\b")
    for path in root.glob(pattern):
        if path.is_file():
            found = set(others.findall(path.read_text("utf-8")))
            assert not found, path


def test_json_yaml_and_hcl_can_be_parsed(root: Path) -> None:
    for text in rendered(root, "**/*.json").values():
        assert json.loads(text)
    for pattern in ("deploy/**/*.yml", "deploy/**/*.yaml"):
        for text in rendered(root, pattern).values():
            assert list(yaml.safe_load_all(text))
    for path in (PROJECT / "terraform" / "ksql").rglob("*.tf"):
        assert hcl2.loads(path.read_text("utf-8"))


def test_terraform_gets_topics_and_statements_by_code(root: Path) -> None:
    topics = json.loads((root / "terraform/ksql/topics.json").read_text("utf-8"))
    statements = json.loads((root / "terraform/ksql/statements.json").read_text("utf-8"))
    assert list(topics["candles"]) == list(statements["tables"]) == list(CALENDAR.codes)
    inserted = re.findall(r"INSERT INTO `(\w+)`", statements["insert"]["text"])
    assert inserted == [f"candle_{interval.name}" for interval in CALENDAR]


def closed(sql: str) -> bool:
    """Whether quotes and parentheses are balanced."""
    bare = re.sub(r"'(?:[^']|'')*'", "", re.sub(r"--.*", "", sql))
    return "'" not in bare and bare.count("(") == bare.count(")")


def statements(root: Path) -> Iterator[tuple[str, str]]:
    """Every rendered SQL statement, with its file."""
    for name in (
        "deploy/trino/views.sql",
        "deploy/trino/lake-views.sql",
        "deploy/flink/candles.sql",
        "ksqldb/create-entities.sql",
    ):
        for statement in split((root / name).read_text("utf-8")):
            yield name, statement
    confluent: dict[str, Any] = json.loads(
        (root / "terraform/ksql/statements.json").read_text("utf-8")
    )
    for row in (*confluent["tables"].values(), confluent["insert"]):
        yield "statements.json", row["text"]


def test_every_statement_is_complete(root: Path) -> None:
    found = list(statements(root))
    assert all(closed(statement) for _, statement in found)
    assert {name for name, _ in found} > {"deploy/trino/views.sql", "statements.json"}
    views = [s for name, s in found if name.startswith("deploy/trino")]
    assert len(views) == 1 + 1 + len(NAMES) + 1 + len(NAMES)


def test_ksqldb_has_windows_of_seconds(root: Path) -> None:
    text = (root / "ksqldb/create-entities.sql").read_text("utf-8")
    sizes = re.findall(r"SIZE (\d+ \w+), RETENTION \d+ SECONDS, GRACE PERIOD (\d+) SECONDS", text)
    # Ticks of a minute are in time for equally long.
    assert sizes == [
        ("10 SECONDS", "650"),
        ("20 MINUTES", "600"),
        ("120 MINUTES", "600"),
        ("1440 MINUTES", "600"),
    ]


def test_the_dashboard_selects_the_intervals(root: Path) -> None:
    text = (root / "deploy/grafana/dashboards/candles.json").read_text("utf-8")
    board = json.loads(text)
    [interval] = [v for v in board["templating"]["list"] if v["name"] == "interval"]
    assert {o["text"]: o["value"] for o in interval["options"]} == {
        i.code: i.name for i in CALENDAR
    }
    links = [link["url"] for link in board["links"] if link["type"] == "link"]
    ranges = [re.findall(r"var-interval=(\w+)&from=now-(\w+)", url) for url in links]
    assert ranges == [
        [("10sec", "25m")],
        [("20min", "50h")],
        [("2hour", "300h")],
        [("1day", "150d")],
    ]
    # The header of a day reads the coarsest interval of a day.
    assert "candle_1day_iceberg" in board["panels"][0]["targets"][0]["rawSQL"]


def test_the_dashboard_of_all_intervals_has_a_panel_of_each(root: Path) -> None:
    text = (root / "deploy/grafana/dashboards/intervals.json").read_text("utf-8")
    spans = [(panel["title"], panel["timeFrom"]) for panel in json.loads(text)["panels"]]
    assert spans == [("s10", "10m"), ("m20", "20h"), ("h2", "5d"), ("D1", "60d")]
