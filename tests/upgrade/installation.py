"""Installations of earlier formats, unpacked and started."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

ARCHIVE = Path(__file__).parent / "version1.tar.xz"
ROOT = Path(__file__).parents[2]
#: The last commit that wrote format 1.
LAST_OF_FORMAT_1 = "5ffb86e"


def unpack(folder: Path) -> Path:
    """Unpack the data folder of the installation of format 1; return its path."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "data"


def old_source(folder: Path) -> Path | None:
    """Unpack the code that wrote format 1; None if this checkout has no history."""
    archive = subprocess.run(
        ["git", "archive", LAST_OF_FORMAT_1, "src"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode != 0:
        return None
    target = folder / "format1"
    target.mkdir()
    subprocess.run(["tar", "xf", "-"], input=archive.stdout, cwd=target, check=True)
    return target / "src"


def run_old(
    source: Path, words: Sequence[str], env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command of the code that wrote format 1."""
    return subprocess.run(
        [sys.executable, "-m", "homma", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **env, "PYTHONPATH": str(source)},
    )
