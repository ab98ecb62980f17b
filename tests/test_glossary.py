"""The code keeps to docs/glossary.md: one name for each class, and no former name anywhere."""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from homma.renamed_settings import RENAMED, flag_of
from homma.setting_values import all_settings

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
#: Where former names may stand: the list itself, the answer to former settings, and this test.
ALLOWED = {
    "docs/glossary.md",
    "src/homma/renamed_settings.py",
    "tests/test_glossary.py",
    "CHANGELOG.md",
}
WORD = re.compile(r"--[a-z][a-z-]*|\w+")
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|$", re.MULTILINE)


def former_names() -> dict[str, str]:
    _, _, section = GLOSSARY.read_text(encoding="utf-8").partition("## Former names")
    return dict(ROW.findall(section))


def texts() -> Iterator[tuple[str, str]]:
    """The path and the text of each file of the project."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in files.stdout.splitlines():
        path = ROOT / name
        if name not in ALLOWED and not name.endswith("lock.json") and path.is_file():
            try:
                yield name, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def classes() -> dict[str, list[str]]:
    """The modules that define each class."""
    modules = defaultdict(list)
    for path in sorted((ROOT / "src").rglob("*.py")):
        if "node_modules" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                modules[node.name].append(str(path.relative_to(ROOT)))
    return modules


def test_no_two_classes_have_one_name() -> None:
    shared = {name: modules for name, modules in classes().items() if len(modules) > 1}
    assert not shared


def test_no_former_name_is_used() -> None:
    names = former_names()
    assert len(names) > 20
    # A setting is also a flag and a variable.
    flags = {flag_of(name) for name in RENAMED}
    variables = {f"HOMMA_{name.upper()}" for name in RENAMED}
    former = {*names} | flags | variables
    used = {f"{file}: {name}" for file, text in texts() for name in former & {*WORD.findall(text)}}
    assert not used


@pytest.mark.parametrize("current", sorted({*RENAMED.values()}))
def test_the_current_name_of_a_setting_exists(current: str) -> None:
    assert current in all_settings()


def test_every_term_of_the_glossary_stands_once() -> None:
    terms = re.findall(
        r"^\| \*\*([^*]+)\*\* \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(terms) == len({*terms}) >= 20
