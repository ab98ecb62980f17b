"""The wheel and the sdist contain the page, and serving it does not need Node."""

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

from tests.support.waiting import free_ports, until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run([*build, "--target", "sdist"], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        sdist.extractall(folder, filter="data")
    unpacked = next(path for path in folder.iterdir() if path.is_dir())
    subprocess.run([*build, "--target", "wheel"], cwd=unpacked, check=True, capture_output=True)
    return folder


def test_the_wheel_has_the_page_but_not_its_sources(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert "homma/serve/static/index.html" in names
    assert not [name for name in names if "serve/page/" in name or "node_modules" in name]


def test_the_sdist_has_the_page_and_its_sources_but_no_npm_packages(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = [name.partition("/")[2] for name in sdist.getnames()]
    assert "src/homma/serve/static/index.html" in names
    assert "src/homma/serve/page/package-lock.json" in names
    assert not [name for name in names if "node_modules" in name]
    # Files that the tests and documents in the sdist refer to.
    assert {"bench/README.md", "terraform/ksql/README.md", "ksqldb/create-entities.sql"} < {*names}


def test_an_installed_wheel_serves_the_page_without_node(dist: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    wheel = str(next(dist.glob("*.whl")))
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(install, check=True, capture_output=True)
    # The dependencies come from this environment, in which homma itself is only a link.
    env = {
        "PATH": str(Path(python).parent),
        "HOME": str(tmp_path),
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    where = [python, "-c", "import homma; print(homma.__file__)"]
    result = subprocess.run(
        where, env=env, check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert result.stdout.startswith(str(tmp_path))
    [port] = free_ports(1)
    serve = [python, "-m", "homma", "serve", "--without-lake", "--serve-port", str(port)]
    address = f"http://127.0.0.1:{port}"
    # There is no Kafka: the page loads and says that it waits.
    process = subprocess.Popen(
        [*serve, "--bootstrap.servers", "127.0.0.1:1"],
        env=env,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _text(address))
        page = _text(address)
        assets = re.findall(r'(?:src|href)="\./([^"]+)"', page)
        assert len(assets) >= 3
        assert [name for name in assets if not _text(f"{address}/{name}")] == []
        assert "http" not in re.sub(r"https://www\.tradingview\.com/", "", page)
    finally:
        process.terminate()
        process.wait(60)


def _text(address: str) -> str:
    try:
        response = httpx.get(address)
    except httpx.HTTPError:
        return ""
    return response.text if response.status_code == 200 else ""
