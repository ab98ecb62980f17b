"""docs/recipes.md has a test for each recipe, and names files that exist."""

from pathlib import Path

import pytest

from tests.recipes.recipe import steps, titles
from tests.support.homma_copy import PROJECT

TESTS = sorted(Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("title", titles())
def test_a_test_follows_the_recipe(title: str) -> None:
    assert [path.name for path in TESTS if f'"{title}"' in path.read_text("utf-8")]


@pytest.mark.parametrize("title", titles())
def test_the_named_files_exist(title: str) -> None:
    paths = [path for step in steps(title) for path in step.paths if "/" in path]
    fixed = [path for path in paths if "<" not in path and " " not in path]
    assert [path for path in fixed if not (PROJECT / path).exists()] == []


def test_the_table_is_read() -> None:
    [row, specification, case] = steps("Add an interval", subject="odd")
    assert row.paths == ("src/homma/core/interval.py",)
    assert specification.text == "Add the interval to the specification."
    assert case.paths == ("tests/golden/odd.json",)
