"""The commands of the README work, and the links of all pages exist."""

import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from homma.cli.main import homma as program
from tests.support.machine import Machine
from tests.support.waiting import until

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bench/README.md",
    "docs/api.md",
    "docs/fault-tests.md",
    "docs/feeds.md",
    "docs/confluent-cloud.md",
    "docs/flink.md",
    "docs/full-stack.md",
    "docs/glossary.md",
    "docs/lake.md",
    "docs/operations.md",
    "docs/reading-the-lake.md",
    "docs/recipes.md",
    "docs/repairing.md",
    "docs/semantics.md",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs/decisions").glob("*.md"))),
)
#: Files and folders that users create.
CREATED = {"deploy/.env", "deploy/dbt/.venv", "deploy/prometheus/targets"}
LIVE_COMMAND = re.compile(r"homma tail (?!.*--once)")


def commands(page: str = "README.md") -> Iterator[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line.removeprefix("$ ") for line in lines)


def test_the_commands_of_the_tour_work(machine: Machine) -> None:
    up = machine.homma("up", "--detach")
    assert up.returncode == 0, up.stderr
    until(machine.has_flow)
    tour = [c for c in commands() if c.startswith("homma ")]
    assert len(tour) > 6
    for command in tour:
        words = shlex.split(command.replace("127.0.0.1:9092", machine.bootstrap))[1:]
        if LIVE_COMMAND.match(command):
            process = machine.start(*words)
            assert process.stdout is not None
            output = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, log = process.communicate(timeout=60)
            assert process.returncode == 0, f"{command}: {log}"
        else:
            result = machine.homma(*words)
            output = result.stdout + result.stderr
            assert result.returncode == 0, f"{command}: {output}"
        assert output.strip(), command


@pytest.mark.parametrize("target", sorted({c for c in commands() if c.startswith("make ")}))
def test_make_targets_of_the_readme_exist(target: str) -> None:
    result = subprocess.run(
        [*target.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=False
    )
    assert result.returncode == 0


@pytest.mark.parametrize("page", PAGES)
def test_local_links_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src|tests|docs|bench|deploy)/[\w./]+)`", text)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert [path for path in missing if path not in CREATED] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_flags_of_every_command_exist(page: str) -> None:
    for command in commands(page):
        if not command.startswith("homma "):
            continue
        words = shlex.split(command, comments=True)[1:]
        help_text = CliRunner().invoke(program, [words[0], "--help"]).output
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        missing = [flag for flag in flags - {"--help"} if not re.search(rf"{flag}\b", help_text)]
        assert missing == [], command
