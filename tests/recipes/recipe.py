"""The recipes of docs/recipes.md, and what it takes to follow one in a copy of the project.

A recipe's table is read from the page. A test gives an edit for each file that the table names, and
`follow` makes them in order. The page is right if the named files are those that changed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.homma_copy import PROJECT, HommaCopy

PAGE: Final = PROJECT / "docs" / "recipes.md"
#: Changes a file, or creates it.
Edit = Callable[[Path], object]
_ROW: Final = re.compile(r"^\| (.+?) \| (.+?) \|$", re.MULTILINE)
_RENDER: Final = "homma render"
#: What running the copy creates.
_NOT_COMPARED: Final = {"__pycache__", ".pytest_cache", ".hypothesis"}


@dataclass(frozen=True)
class Step:
    """A row of a recipe's table: what to do, and the files or `folders/` that it changes."""

    text: str
    paths: tuple[str, ...]

    @property
    def is_rendered(self) -> bool:
        """Whether homma writes the files."""
        return _RENDER in self.text


def titles() -> list[str]:
    """The titles of all recipes."""
    return re.findall(r"^## (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)


def section(title: str) -> str:
    """The text of one recipe."""
    parts = PAGE.read_text("utf-8").split("\n## ")[1:]
    [text] = [part for part in parts if part.startswith(title + "\n")]
    return text


def steps(title: str, **names: str) -> list[Step]:
    """The steps of a recipe, with `names` in place of the words in angle brackets."""
    text = section(title)
    for word, name in names.items():
        assert f"<{word}>" in text, f"{title} has no <{word}>"
        text = text.replace(f"<{word}>", name)
    # The first row is the head of the table.
    rows = _ROW.findall(text)[1:]
    return [Step(what, tuple(re.findall(r"`([^`]+)`", paths))) for what, paths in rows]


def follow(copy: HommaCopy, title: str, edits: Mapping[str, Edit], **names: str) -> None:
    """Make the edits, render what the recipe renders, and compare the changed files with it."""
    recipe = steps(title, **names)
    by_hand = [path for step in recipe if not step.is_rendered for path in step.paths]
    assert by_hand == list(edits)
    before = _contents(copy.root)
    for step in recipe:
        if step.is_rendered:
            copy.homma("render")
        else:
            for path in step.paths:
                edits[path](copy.root / path)
    copy.homma("render", "--check")
    after = _contents(copy.root)
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    named = [path for step in recipe for path in step.paths]
    assert [path for path in sorted(changed) if not any(map(_holds(path), named))] == []
    assert [name for name in named if not any(_holds(path)(name) for path in changed)] == []


def _holds(path: str) -> Callable[[str], bool]:
    """Whether a name is that of the file, or of a folder that contains it."""
    return lambda name: path == name or (name.endswith("/") and path.startswith(name))


def _contents(root: Path) -> dict[str, bytes]:
    """Every file of a project by its path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not _NOT_COMPARED & {*path.parts}
    }


# --- edits ------------------------------------------------------------------------------------
def replacing(*pairs: tuple[str, str]) -> Edit:
    """Replace texts, each of which a file contains once."""

    def edit(path: Path) -> None:
        text = path.read_text("utf-8")
        for old, new in pairs:
            assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
            text = text.replace(old, new)
        path.write_text(text, "utf-8")

    return edit


def appending(text: str) -> Edit:
    """Add text at the end of a file that exists."""
    return lambda path: path.write_text(path.read_text("utf-8") + text, "utf-8")


def creating(text: str) -> Edit:
    """Write a file that does not exist yet."""

    def edit(path: Path) -> None:
        assert not path.exists(), path
        path.write_text(text, "utf-8")

    return edit
