"""Commands import only what they need, so that they answer sooner."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from homma.cli.main import COMMANDS
from homma.cli.main import homma as program

#: What is slow to import, and what the flags and the help of a command do not need.
SLOW = {
    "confluent_kafka",
    "cryptography",
    "faker",
    "prometheus_client",
    "psutil",
    "pyarrow",
    "pyiceberg",
    "rich",
    "starlette",
    "uvicorn",
}
#: These commands still import more for their help.
SLOWER = {
    "up": {"pyiceberg", "starlette"},
    "backfill": {"starlette"},
    "render": {"pyiceberg"},
}
IMPORTED = """
import sys
from homma.cli.main import homma
from homma.errors import HommaError
try:
    homma.main(sys.argv[1:], standalone_mode=False)
except HommaError as error:
    print(error)
print(*sys.modules)
"""


def imported(*words: str) -> tuple[str, set[str]]:
    """Run a command; return its output and the modules that it has imported."""
    argv = [sys.executable, "-c", IMPORTED, *words]
    output, _, modules = subprocess.check_output(argv, text=True).strip().rpartition("\n")
    return output, set(modules.split())


def test_the_list_of_commands_needs_no_settings() -> None:
    output, modules = imported("--help")
    assert "Commands:" in output
    assert "click" in modules
    assert modules.isdisjoint(SLOW | {"polars"})


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_only_what_it_needs(command: str) -> None:
    output, modules = imported(command, "--help")
    assert "Example:" in output
    assert modules.isdisjoint(SLOWER.get(command, SLOW))


def test_a_command_that_reads_a_table_imports_no_kafka_client(tmp_path: Path) -> None:
    lake = [
        "--catalog-uri",
        "http://127.0.0.1:1",
        "-C",
        "token=none",
        "--dir",
        str(tmp_path / "none"),
    ]
    output, modules = imported("candles", "m1", *lake)
    assert "127.0.0.1:1" in output
    assert "pyiceberg" in modules
    assert modules.isdisjoint(SLOW - {"pyiceberg", "pyarrow"})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_summary_is_the_first_sentence_of_the_help(command: str) -> None:
    assert isinstance(program, click.Group)
    assert program.commands[command].get_short_help_str(limit=100) == COMMANDS[command]
