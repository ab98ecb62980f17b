"""What the README says to type is typed here."""

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import machine  # noqa: F401  a fixture
from tests.cli.machine import Machine
from tests.stack.waiting import until

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bench/README.md",
    "docs/api.md",
    "docs/fault-tests.md",
    "docs/lake.md",
    "docs/reading-the-lake.md",
    "docs/repairing.md",
    "docs/semantics.md",
)
LIVE = re.compile(r"homma tail (?!.*--once)")


def commands() -> Iterator[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        yield from (line.removeprefix("$ ") for line in block.splitlines())


def test_the_tour_can_be_taken(machine: Machine) -> None:  # noqa: F811
    started = machine.homma("up", "--detach")
    assert started.returncode == 0, started.stderr
    until(machine.lives)
    tour = [c for c in commands() if c.startswith("homma ")]
    assert len(tour) > 6
    for command in tour:
        words = shlex.split(command.replace("127.0.0.1:9092", machine.bootstrap))[1:]
        if LIVE.match(command):
            live = machine.start(*words)
            time.sleep(5)
            live.send_signal(signal.SIGINT)
            said, trouble = live.communicate(timeout=60)
            assert live.returncode == 0, f"{command}: {trouble}"
        else:
            done = machine.homma(*words)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            said = done.stdout + done.stderr
        assert said.strip(), command


@pytest.mark.parametrize("target", sorted({c for c in commands() if c.startswith("make ")}))
def test_its_targets_exist(target: str) -> None:
    done = subprocess.run(
        [*target.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_files_it_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests|docs|bench|deploy)/[\w./]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
