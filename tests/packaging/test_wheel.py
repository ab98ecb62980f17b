"""What is built has the page in it, and does not need node to show it."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIND = """
from importlib.resources import files
print(files("homma.serve") / "static" / "index.html")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run([*build, "--target", "sdist"], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        sdist.extractall(folder, filter="data")
    unpacked = next(path for path in folder.iterdir() if path.is_dir())
    subprocess.run([*build, "--target", "wheel"], cwd=unpacked, check=True, capture_output=True)
    return folder


def test_the_wheel_has_the_page_and_not_its_sources(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert "homma/serve/static/index.html" in names
    assert not [name for name in names if "serve/page/" in name or "node_modules" in name]


def test_the_sdist_has_both_and_nothing_that_npm_installed(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = [name.partition("/")[2] for name in sdist.getnames()]
    assert "src/homma/serve/static/index.html" in names
    assert "src/homma/serve/page/package-lock.json" in names
    assert not [name for name in names if "node_modules" in name]


def test_an_installed_wheel_finds_its_page_without_node(built: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    # What it depends on has nothing to do with the page.
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    env = {"PATH": str(python.parent), "HOME": os.environ.get("HOME", "/")}
    said = subprocess.run(
        [str(python), "-c", FIND], env=env, check=True, capture_output=True, text=True, cwd=tmp_path
    )
    page = Path(said.stdout.strip())
    wanted = re.findall(r'(?:src|href)="\./([^"]+)"', page.read_text())
    assert len(wanted) >= 3
    assert [name for name in wanted if not (page.parent / name).is_file()] == []
    assert "http" not in re.sub(r"https://www\.tradingview\.com/", "", page.read_text())
