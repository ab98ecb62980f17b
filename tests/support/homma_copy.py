"""A copy of homma's source whose table of fields has more rows, and processes that run it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from homma.formats import CURRENT

PROJECT: Final = Path(__file__).parents[2]
#: A field like tickCount, in a format of its own, by the row before which it is inserted.
NEW_FIELD: Final = {
    '    CandleField(\n        "turnover",': f"""\
    CandleField(
        "ticks2",
        "ticks2",
        "long",
        False,
        "Number of ticks, again.",
        "ticks",
        "sum",
        "one",
        in_every_record=False,
        if_absent="volume",
        since={CURRENT + 1},
        public=True,
    ),
"""
}
#: Folders of other programs, which their tools create.
_NOT_COPIED: Final = shutil.ignore_patterns("__pycache__", "node_modules", ".venv")


@dataclass(frozen=True)
class HommaCopy:
    """A copy of the source; `variables` are set for its processes."""

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of processes that import the copy."""
        return {**os.environ, "PYTHONPATH": str(self.root / "src"), **self.variables}

    def finished(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the copy until it exits."""
        return subprocess.run(
            [sys.executable, *argv],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def output(self, *argv: str) -> str:
        """What Python prints with the copy; it must succeed."""
        done = self.finished(*argv)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def homma(self, *words: str) -> str:
        """What one of the copy's commands prints; it must succeed."""
        return self.output("-m", "homma", *words)

    def pytest(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run tests of a copy that has tests."""
        return self.finished("-m", "pytest", "-q", "-p", "no:cacheprovider", *words)

    def passes(self, *words: str) -> str:
        """What running tests of the copy prints; they must pass."""
        done = self.pytest(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def copy_homma(root: Path, rows: Mapping[str, str], *folders: str) -> HommaCopy:
    """Copy the source and further folders of the project, and add rows to the table of fields."""
    for folder in ("src", *folders):
        shutil.copytree(PROJECT / folder, root / folder, ignore=_NOT_COPIED)
    # `homma render` looks for it.
    (root / "pyproject.toml").touch()
    table = root / "src" / "homma" / "core" / "fields.py"
    text = table.read_text("utf-8")
    for before, row in rows.items():
        assert text.count(before) == 1
        text = text.replace(before, row + before)
    table.write_text(text, "utf-8")
    return HommaCopy(root)


def copy_project(root: Path) -> HommaCopy:
    """Copy all that a developer changes: the source, tests, pages and deployments."""
    for folder in ("src", "tests", "docs", "deploy", "ksqldb", "terraform"):
        shutil.copytree(PROJECT / folder, root / folder, ignore=_NOT_COPIED)
    shutil.copy(PROJECT / "pyproject.toml", root)
    return HommaCopy(root)
