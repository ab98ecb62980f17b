"""What docs/reading-the-lake.md shows is what its blocks print over the market of these tests.

Trino's block is run where a Trino is: test_trino.py.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

import polars as pl
import pytest

from tests.engines.conftest import ROOT, Spark

pytestmark = pytest.mark.stack
PAGE = ROOT / "docs" / "reading-the-lake.md"
PAIR = re.compile(r"^## (\w+)\n.*?```(\w+)\n(.*?)```\s+```text\n(.*?)```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A block of the page, and what stands below it as its output."""

    engine: str
    language: str
    code: str
    printed: str


def shown() -> dict[str, Shown]:
    found = [Shown(*parts) for parts in PAIR.findall(PAGE.read_text(encoding="utf-8"))]
    return {one.engine: one for one in found}


def run(code: str, environment: dict[str, str], **also: str) -> str:
    """Run a block as a program, with this lake's addresses in place of the usual ones."""
    moved = {
        "http://127.0.0.1:8181": environment["HOMMA_CATALOG_URI"],
        "http://127.0.0.1:8333": environment["HOMMA_S3_ENDPOINT"],
        "127.0.0.1:8333": environment["HOMMA_S3_ENDPOINT"].removeprefix("http://"),
    } | also
    for usual, here in moved.items():
        code = code.replace(usual, here)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        text=True,
        capture_output=True,
        check=False,
        env=os.environ | environment | {"TZ": "America/New_York"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_a_block_for_each_engine() -> None:
    assert list(shown()) == ["DuckDB", "polars", "Trino", "Spark"]


@pytest.mark.parametrize("engine", ["DuckDB", "polars"])
def test_a_block_prints_what_the_page_says(
    engine: str, environment: dict[str, str], frames: dict[str, pl.DataFrame]
) -> None:
    block = shown()[engine]
    assert run(block.code, environment).strip() == block.printed.strip()


def test_spark_prints_what_the_page_says(spark: Spark, frames: dict[str, pl.DataFrame]) -> None:
    block = shown()["Spark"]
    make, typed = block.code.splitlines()
    assert make == "$ make spark-sql"
    done = spark(typed.partition("> ")[2] + "\n")
    rows = [line for line in done.stdout.splitlines() if "\t" in line]
    # Which ten come first is Spark's to choose.
    assert sorted(rows) == sorted(block.printed.splitlines())
