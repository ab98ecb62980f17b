"""The recipe for running one test: each command selects tests that exist."""

import os
import shlex
import subprocess
import sys

import pytest

from tests.recipes.recipe import steps
from tests.support.homma_copy import PROJECT

COMMANDS = [step.paths[0] for step in steps("Run one test")]
PYTEST = [command for command in COMMANDS if "pytest" in command]


def run(command: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run one of the commands that use pytest, with further flags."""
    variables, _, words = command.rpartition(".venv/bin/pytest")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *shlex.split(words), *flags],
        cwd=PROJECT,
        env={**os.environ, **dict(pair.split("=") for pair in variables.split())},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_function_is_run() -> None:
    done = run(PYTEST[0])
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("command", PYTEST)
def test_the_command_selects_tests(command: str) -> None:
    # pytest exits with 5 if no test is selected.
    assert run(command, "--collect-only").returncode == 0


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {*PYTEST}))
def test_the_target_exists(command: str) -> None:
    words = [*shlex.split(command), "--dry-run"]
    assert subprocess.run(words, cwd=PROJECT, capture_output=True, check=False).returncode == 0
