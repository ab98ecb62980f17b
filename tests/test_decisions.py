"""Each page in docs/decisions has all sections, and the index lists all pages."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "decisions"
INDEX = FOLDER / "README.md"
PAGES = sorted(path.name for path in FOLDER.glob("*.md") if path != INDEX)
SECTIONS = ["Goals", "Non-goals", "Decision", "Compatibility", "Alternatives"]


@pytest.mark.parametrize("page", PAGES)
def test_a_decision_has_all_sections(page: str) -> None:
    introduction, *parts = (FOLDER / page).read_text("utf-8").split("\n## ")
    assert [part.split("\n", 1)[0] for part in parts] == SECTIONS
    for text in (introduction, *parts):
        assert text.split("\n", 1)[1].strip()


def test_the_index_lists_every_decision_with_its_title() -> None:
    titles = {page: (FOLDER / page).read_text("utf-8").split("\n", 1)[0][2:] for page in PAGES}
    links = re.findall(r"^\| \[(.+)\]\((.+)\) \|$", INDEX.read_text("utf-8"), re.MULTILINE)
    assert [(page, title) for title, page in links] == list(titles.items())


def test_the_index_describes_the_sections() -> None:
    rows = re.findall(r"^\| ([A-Z][\w-]+) \| ", INDEX.read_text("utf-8"), re.MULTILINE)
    assert rows == SECTIONS


def test_decisions_are_numbered_in_order() -> None:
    numbers = [(int(page[:4]), (FOLDER / page).read_text("utf-8")) for page in PAGES]
    assert [number for number, _ in numbers] == list(range(1, len(PAGES) + 1))
    assert all(text.startswith(f"# {number}. ") for number, text in numbers)
