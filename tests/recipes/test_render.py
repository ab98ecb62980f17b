"""A copy of the project with a new field and other intervals renders all of its files."""

import json
import re

import pytest

from homma.core.calendar import DEFAULT_CODES
from homma.core.interval import BY_CODE
from homma.formats import CURRENT
from tests.recipes.installation import AFTER
from tests.support.homma_copy import NEW_FIELD, HommaCopy, copy_homma

#: The folders with rendered files, apart from the source.
FOLDERS = ("deploy", "docs", "ksqldb", "terraform")
INTERVALS = ("--intervals", ",".join(AFTER))
#: Where the field must be.
FILES = {
    "docs/reference/candle.schema.json": '"ticks2"',
    "docs/reference/asyncapi.json": '"ticks2"',
    "deploy/flink/candles.sql": "SUM(`ticks2`) AS `ticks2`",
    "deploy/trino/views.sql": "coalesce(try_cast(ticks2 AS bigint), try_cast(volume AS bigint))",
    "deploy/trino/kafka/candle_5sec.json": '"ticks2"',
    "deploy/dbt/macros/fields.sql": "'name': 'ticks2', 'json': 'ticks2'",
    "deploy/dbt/models/sources.yml": "name: ticks2",
    "deploy/grafana/dashboards/candles.json": "coalesce(ticks2, volume) AS ticks2",
    "ksqldb/create-entities.sql": "COUNT(*) AS `ticks2`",
    "terraform/ksql/statements.json": "`ticks2` BIGINT",
    "src/homma/serve/page/src/fields.ts": "readonly ticks2: number;",
}
#: What is about the number of ticks itself.
COUNT_TICKS = {"deploy/dbt/macros/topics.sql", "deploy/dbt/tests/generic/candles.sql"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> HommaCopy:
    """The copy as a project, with its files rendered."""
    copy = copy_homma(tmp_path_factory.mktemp("project"), NEW_FIELD, *FOLDERS)
    assert copy.finished("-m", "homma", "render", "--check", *INTERVALS).returncode == 1
    copy.homma("render", *INTERVALS)
    return copy


def statements(project: HommaCopy) -> dict[str, str]:
    """The texts of all files for deployments, whether they are rendered or written by hand."""
    paths = [p for f in ("deploy", "ksqldb", "terraform") for p in (project.root / f).rglob("*.*")]
    return {
        str(path.relative_to(project.root)): path.read_text("utf-8")
        for path in paths
        if path.suffix in (".sql", ".json", ".yml", ".yaml")
    }


def test_no_file_differs_after_rendering(project: HommaCopy) -> None:
    assert json.loads(project.homma("render", "--check", "--json", *INTERVALS)) == {"differ": []}


@pytest.mark.parametrize("name", FILES)
def test_the_field_is_rendered(project: HommaCopy, name: str) -> None:
    assert FILES[name] in (project.root / name).read_text("utf-8")


def test_every_deployment_with_the_tick_count_has_the_field(project: HommaCopy) -> None:
    texts = statements(project)
    files = {name for name, text in texts.items() if re.search(r"\b(tick_count|tickCount)\b", text)}
    assert len(files) > 8
    assert {name for name in files if "ticks2" not in texts[name]} == COUNT_TICKS


def test_every_deployment_has_the_intervals(project: HommaCopy) -> None:
    texts = statements(project)
    chosen = [f"candle_{BY_CODE[code].name}" for code in AFTER]
    others = [f"candle_{BY_CODE[code].name}" for code in DEFAULT_CODES if code not in AFTER]
    files = {name for name, text in texts.items() if all(c in text for c in chosen)}
    assert len(files) > 4
    named = {name for name, text in texts.items() if any(c in text for c in others)}
    # A mart that dbt disables without these intervals.
    assert named == {"deploy/dbt/models/marts/daily_returns.sql"}


def test_the_reference_has_the_format_of_the_field(project: HommaCopy) -> None:
    settings = (project.root / "docs/reference/settings.md").read_text("utf-8")
    assert f"format of candles and offsets, 1 to {CURRENT + 1};" in settings
