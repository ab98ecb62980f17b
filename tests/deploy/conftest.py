"""Prometheus beside a pipeline of its own."""

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
from tests.cli.machine import Machine
from tests.deploy.test_prometheus import FOLDER
from tests.stack.waiting import free_ports, until


@dataclass(frozen=True)
class Prometheus:
    """A server that scrapes a pipeline."""

    port: int

    def ask(self, path: str, **words: str) -> Any:
        """What its API says; None while it does not answer."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                return None
            raise AssertionError(error.read().decode()) from error
        except OSError:
            return None

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The series that a query gives now."""
        found = self.ask("query", query=query)
        return [(row["metric"], float(row["value"][1])) for row in found["result"]] if found else []


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, jars: list[Path]
) -> Iterator[tuple[Machine, Prometheus]]:
    """A pipeline, its verifier, and a Prometheus with the project's files."""
    place = tmp_path_factory.mktemp("watched")
    cache = next(folder for folder in jars[0].parents if folder.name == "jars").parent
    machine = Machine(place / "home", cache)
    port, verify_port = free_ports(2)
    try:
        started = machine.homma("up", "--detach")
        assert started.returncode == 0, started.stderr
        # Once all tables are there.
        until(lambda: machine.homma("verify", "--json").stdout.startswith("{"))
        machine.start("verify", "--every", "20s", "--metrics-port", str(verify_port))
        folder = place / "prometheus"
        shutil.copytree(FOLDER, folder)
        (folder / "targets").mkdir()
        shutil.copy(machine.home / "targets.json", folder / "targets" / "up.json")
        more = targets({"verify": f"127.0.0.1:{verify_port}"})
        (folder / "targets" / "verify.json").write_text(more, "utf-8")
        with served(folder, place / "data", port):
            yield machine, Prometheus(port)
    finally:
        machine.end()


@contextmanager
def served(folder: Path, data: Path, port: int) -> Iterator[None]:
    program = shutil.which("prometheus")
    assert program, "no prometheus: apt install prometheus"
    config = folder / "prometheus.yml"
    # As it is, but for the haste of a test.
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
