"""Commands import only what they need, so that they answer sooner."""

import subprocess
import sys

import click
import pytest

from homma.cli.main import COMMANDS
from homma.cli.main import homma as program

#: Slow imports, by the command that does not need them. The first is `homma --help`.
UNNEEDED = {
    "": {"polars", "confluent_kafka", "pyiceberg", "starlette", "faker", "rich"},
    "candles": {"starlette", "faker"},
    "ticks": {"starlette", "faker"},
    "tail": {"pyiceberg", "starlette", "faker"},
    "status": {"pyiceberg", "starlette", "faker"},
    "aggregate": {"pyiceberg", "starlette", "faker"},
    "generate": {"pyiceberg", "starlette"},
}
IMPORTED = """
import sys
from homma.cli.main import homma
homma.main([*sys.argv[1:], "--help"], standalone_mode=False)
print(*sys.modules)
"""


@pytest.mark.parametrize("command", UNNEEDED)
def test_a_command_imports_only_what_it_needs(command: str) -> None:
    words = [command] if command else []
    output = subprocess.check_output([sys.executable, "-c", IMPORTED, *words], text=True)
    imported = set(output.splitlines()[-1].split())
    assert "click" in imported
    assert UNNEEDED[command].isdisjoint(imported)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_summary_is_the_first_sentence_of_the_help(command: str) -> None:
    assert isinstance(program, click.Group)
    assert program.commands[command].get_short_help_str(limit=100) == COMMANDS[command]
