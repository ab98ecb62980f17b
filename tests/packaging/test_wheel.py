"""What is built has the page in it, and does not need node to show it."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.stack.waiting import free_ports, until

ROOT = Path(__file__).parents[2]


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
    # What its tests and documents are about.
    assert {"bench/README.md", "terraform/ksql/README.md", "ksqldb/create-entities.sql"} < {*names}


def test_an_installed_wheel_shows_its_page_without_node(built: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    wheel = str(next(built.glob("*.whl")))
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(install, check=True, capture_output=True)
    # What it depends on is taken from here, where homma itself is only pointed to.
    env = {
        "PATH": str(Path(python).parent),
        "HOME": str(tmp_path),
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    where = [python, "-c", "import homma; print(homma.__file__)"]
    said = subprocess.run(where, env=env, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert said.stdout.startswith(str(tmp_path))
    [port] = free_ports(1)
    serve = [python, "-m", "homma", "serve", "--without-lake", "--serve-port", str(port)]
    address = f"http://127.0.0.1:{port}"
    # There is no Kafka either: the page is there and says that it waits.
    process = subprocess.Popen(
        [*serve, "--bootstrap.servers", "127.0.0.1:1"],
        env=env,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _text(address))
        page = _text(address)
        wanted = re.findall(r'(?:src|href)="\./([^"]+)"', page)
        assert len(wanted) >= 3
        assert [name for name in wanted if not _text(f"{address}/{name}")] == []
        assert "http" not in re.sub(r"https://www\.tradingview\.com/", "", page)
    finally:
        process.terminate()
        process.wait(60)


def _text(address: str) -> str:
    try:
        answer = httpx.get(address)
    except httpx.HTTPError:
        return ""
    return answer.text if answer.status_code == 200 else ""
