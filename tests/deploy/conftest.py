"""Prometheus next to a pipeline of its own."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from homma.rendered.prometheus import targets
from tests.deploy.prometheus_rules import FOLDER
from tests.support.jars import cache_of
from tests.support.machine import Machine
from tests.support.waiting import free_ports, until


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server that scrapes a pipeline."""

    port: int

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an API response; None while the server is not reachable."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                return None
            raise AssertionError(error.read().decode()) from error
        except OSError:
            return None

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The current series of a query, as labels and value."""
        data = self.get("query", query=query)
        return [(row["metric"], float(row["value"][1])) for row in data["result"]] if data else []


@pytest.fixture(scope="module")
def monitored(
    tmp_path_factory: pytest.TempPathFactory, jars: list[Path]
) -> Iterator[tuple[Machine, Prometheus]]:
    """A pipeline, its verifier, and a Prometheus with the project's configuration."""
    home = tmp_path_factory.mktemp("monitored")
    machine = Machine(home / "home", cache_of(jars))
    port, verify_port = free_ports(2)
    try:
        started = machine.homma("up", "--detach")
        assert started.returncode == 0, started.stderr
        # Wait until all tables exist.
        until(lambda: machine.homma("verify", "--json").stdout.startswith("{"))
        machine.start("verify", "--every", "20s", "--metrics-port", str(verify_port))
        folder = home / "prometheus"
        shutil.copytree(FOLDER, folder)
        (folder / "targets").mkdir()
        shutil.copy(machine.home / "targets.json", folder / "targets" / "up.json")
        verifier = targets({"verify": f"127.0.0.1:{verify_port}"})
        (folder / "targets" / "verify.json").write_text(verifier, "utf-8")
        with running_prometheus(folder, home / "data", port):
            yield machine, Prometheus(port)
    finally:
        machine.stop()


@contextmanager
def running_prometheus(folder: Path, data: Path, port: int) -> Iterator[None]:
    program = shutil.which("prometheus")
    assert program, "prometheus is not installed: apt install prometheus"
    config = folder / "prometheus.yml"
    # Shorter intervals, to keep the test short.
    config.write_text(config.read_text("utf-8").replace(": 10s", ": 1s"), "utf-8")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            server.terminate()
            server.wait(60)
