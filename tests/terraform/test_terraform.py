"""Terraform for Confluent Cloud: parsing, formatting, and tests of names and validation."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.settings import TopicSettings
from homma.topics import contract

ROOT = Path(__file__).parents[2] / "terraform" / "ksql"
FILES = sorted(ROOT.rglob("*.tf"))
PROGRAM = shutil.which("terraform")


def parsed(path: Path) -> dict[str, Any]:
    contents: dict[str, Any] = hcl2.loads(path.read_text(encoding="utf-8"))
    return contents


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_parses(path: Path) -> None:
    assert parsed(path)


def test_secrets_are_in_one_sensitive_output() -> None:
    text = (ROOT / "outputs.tf").read_text(encoding="utf-8")
    assert re.findall(r'^output "(.+)"', text, re.MULTILINE) == ["resource-ids"]
    assert "sensitive   = true" in text
    variables = (ROOT / "variables.tf").read_text(encoding="utf-8")
    for name in ("confluent_cloud_api_key", "confluent_cloud_api_secret"):
        [block] = re.findall(rf'variable "{name}" {{(.*?)\n}}', variables, re.DOTALL)
        assert "sensitive   = true" in block
        assert "default" not in block


def test_every_variable_has_a_type() -> None:
    for path in FILES:
        for block in re.findall(r'^variable "\w+" {\n(.*?)^}', path.read_text(), re.M | re.S):
            assert re.search(r"^  type +=", block, re.MULTILINE), (path, block)


def test_topics_and_tables_match_the_contract() -> None:
    names = contract.topics(TopicSettings())
    topics = json.loads((ROOT / "topics.json").read_text())
    rows = [topics["ticks"], topics["dead"], topics["late"], *topics["candles"].values()]
    assert [row["name"] for row in rows] == list(names.all())
    assert {c: row["name"] for c, row in topics["candles"].items()} == names.public_candles
    statements = json.loads((ROOT / "statements.json").read_text())
    tables, insert = statements["tables"], statements["insert"]
    assert {code: table["name"] for code, table in tables.items()} == {
        interval.code: f"candle-{interval.name}" for interval in DEFAULT_CALENDAR
    }
    for topic in names.public_candles.values():
        assert insert["text"].count(f"INSERT INTO `{topic}`") == 1
    # Confluent Cloud has neither.
    assert not re.search("PROCTIME|CREATE VIEW", insert["text"])


@pytest.mark.skipif(PROGRAM is None, reason="terraform is not installed")
def test_it_is_formatted_and_the_names_pass_their_tests(tmp_path: Path) -> None:
    assert PROGRAM is not None
    copy = tmp_path / "ksql"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".terraform*"))
    for folder, arguments in (
        (copy, ("fmt", "-check", "-recursive")),
        (copy / "modules" / "names", ("init", "-input=false")),
        (copy / "modules" / "names", ("test", "-no-color")),
    ):
        process = subprocess.run(
            [PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stdout + process.stderr
