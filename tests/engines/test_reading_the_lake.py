"""The code blocks of docs/reading-the-lake.md print the output shown there.

test_trino.py and test_trades.py run the blocks for Trino.
"""

import polars as pl
import pytest

from tests.engines.code_blocks import code_blocks, of_trades, run, traded_blocks
from tests.engines.conftest import Spark

pytestmark = pytest.mark.stack


def test_each_engine_has_a_block() -> None:
    engines = ["DuckDB", "polars", "Trino", "Spark"]
    assert list(code_blocks()) == list(traded_blocks()) == engines


@pytest.mark.parametrize("engine", ["DuckDB", "polars"])
def test_a_block_prints_the_output_on_the_page(
    engine: str, environment: dict[str, str], frames: dict[str, pl.DataFrame]
) -> None:
    block = code_blocks()[engine]
    assert run(block.code, environment).strip() == block.output.strip()


def test_spark_prints_the_output_on_the_page(spark: Spark, frames: dict[str, pl.DataFrame]) -> None:
    block = code_blocks()["Spark"]
    make, prompt = block.code.splitlines()
    assert make == "$ make spark-sql"
    process = spark(prompt.partition("> ")[2] + "\n")
    rows = [line for line in process.stdout.splitlines() if "\t" in line]
    # Spark returns any ten rows.
    assert sorted(rows) == sorted(block.output.splitlines())


@pytest.mark.parametrize("engine", ["DuckDB", "polars"])
def test_a_block_of_trades_prints_the_output_on_the_page(
    engine: str,
    environment: dict[str, str],
    frames: dict[str, pl.DataFrame],
    traded: dict[str, pl.DataFrame],
) -> None:
    before, block = code_blocks()[engine], traded_blocks()[engine]
    output = run(before.code + of_trades(block.code), environment)
    assert output.split() == [*before.output.split(), *block.output.split()]


def test_spark_prints_the_candles_of_trades_on_the_page(
    spark: Spark, traded: dict[str, pl.DataFrame]
) -> None:
    block = traded_blocks()["Spark"]
    process = spark(of_trades(block.code).partition("> ")[2])
    rows = [line for line in process.stdout.splitlines() if "\t" in line]
    assert rows == block.output.splitlines()
