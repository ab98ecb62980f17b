"""`homma render`: the files are written, compared and complete."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homma.cli.main import homma
from homma.cli.options import PREFIX
from homma.cli.verbs.render import renderers
from homma.core.calendar import DEFAULT_CALENDAR
from homma.errors import SettingError
from homma.metrics import STAGES as METRICS
from homma.settings import STAGES, TopicSettings
from homma.topics import contract

PROJECT = Path(__file__).parents[2]
RENDERED = set(renderers(DEFAULT_CALENDAR))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    assert render(tmp_path).exit_code == 0
    return tmp_path


def render(root: Path, *flags: str) -> Result:
    return CliRunner().invoke(homma, ["render", "--root", str(root), *flags])


def page(root: Path, name: str) -> str:
    return (root / "docs" / "reference" / name).read_text("utf-8")


def test_the_committed_files_are_up_to_date() -> None:
    result = render(PROJECT, "--check")
    assert result.exit_code == 0, result.output


def test_after_rendering_no_file_differs(root: Path) -> None:
    assert {name for name in RENDERED if (root / name).exists()} == RENDERED
    assert render(root, "--check").exit_code == 0
    assert json.loads(render(root, "--json").stdout) == {"written": [], "removed": []}


def test_the_check_shows_how_a_file_differs(root: Path) -> None:
    path = root / "docs" / "reference" / "metrics.md"
    path.write_text(path.read_text("utf-8").replace("ticks read", "ticks eaten"), "utf-8")
    result = render(root, "--check")
    assert result.exit_code == 1
    assert "docs/reference/metrics.md differs" in result.stdout
    assert "ticks eaten" in result.stdout
    assert "ticks read" in result.stdout
    assert "ticks eaten" in path.read_text("utf-8")  # --check does not write
    assert json.loads(render(root, "--check", "--json").stdout) == {
        "differ": ["docs/reference/metrics.md"]
    }
    render(root)
    assert render(root, "--check").exit_code == 0


@pytest.mark.parametrize("spoil", [Path.unlink, lambda p: p.write_bytes(b"\xff")])
def test_a_missing_or_binary_file_is_reported(root: Path, spoil: object) -> None:
    spoil(root / "docs" / "reference" / "asyncapi.json")  # type: ignore[operator]
    result = render(root, "--check")
    assert result.exit_code == 1
    assert "asyncapi.json" in result.stdout


def test_line_endings_matter(root: Path) -> None:
    path = root / "docs" / "reference" / "topics.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert render(root, "--check").exit_code == 1


def test_nothing_is_written_outside_the_project(tmp_path: Path) -> None:
    assert isinstance(render(tmp_path).exception, SettingError)
    assert not list(tmp_path.iterdir())


def test_every_setting_is_on_the_settings_page(root: Path) -> None:
    text = page(root, "settings.md")
    for stage in STAGES:
        for row in fields(stage):
            assert f"`{PREFIX}{row.name.upper()}`" in text
            assert f"`{row.name}`" in text
    assert "`--bootstrap.servers TEXT`" in text
    assert "`--until-end`" in text
    assert "| `10min` |" in text


def test_each_stage_lists_the_commands_that_use_it(root: Path) -> None:
    text = page(root, "settings.md")
    sections = {part.split("\n")[0]: part for part in text.split("\n## ")[1:]}
    assert "Used by `replay`." in sections["Replay"]
    assert "`aggregate`" in sections["Aggregate"]
    assert "`generate`" not in sections["Aggregate"].split("|")[0]


def test_every_metric_topic_and_command_is_on_its_page(root: Path) -> None:
    text = page(root, "metrics.md")
    for rows in METRICS.values():
        for row in rows:
            assert f"`{row.name}{'_total' if row.kind == 'counter' else ''}`" in text
    for topic in contract.topics(TopicSettings()).all():
        assert f"| `{topic}` |" in page(root, "topics.md")
    for command in homma.commands:
        assert f"## homma {command}\n" in page(root, "commands.md")


def test_every_command_has_an_example_with_its_line_breaks(root: Path) -> None:
    text = page(root, "commands.md")
    assert "\\b" not in text
    assert "\b" not in text
    for command in homma.commands:
        section = text.split(f"## homma {command}\n")[1].split("\n## ")[0]
        assert "\n  Example:\n    homma " in section, command


def test_all_rows_of_a_table_have_equally_many_cells(root: Path) -> None:
    for name in ("settings.md", "metrics.md", "topics.md"):
        cells = 0
        for line in page(root, name).split("\n"):
            if not line.startswith("|"):
                cells = 0
                continue
            count = line.replace("\\|", "").count("|")
            assert count == (cells or count), line
            cells = count


def test_the_width_does_not_depend_on_the_terminal(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "43")
    assert render(root, "--check").exit_code == 0
