"""spark-sql reads the lake, with the settings that compose mounts."""

from datetime import datetime

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.lake.schema import tables
from tests.engines.conftest import ROOT, Spark

pytestmark = pytest.mark.stack
#: Exactly as in the task.
COMMANDS = "use demo; select * from market_data.candle_1day_iceberg limit 10;\n"


def test_the_exact_commands(spark: Spark, frames: dict[str, pl.DataFrame]) -> None:
    process = spark(COMMANDS)
    assert process.returncode == 0, process.stderr
    rows = [line.split("\t") for line in process.stdout.splitlines() if "\t" in line]
    assert len(rows) == 10
    days = frames["candle_1day_iceberg"]
    candles = {
        (
            row[0],
            row[1],
            datetime.fromisoformat(row[2] + "+00:00"),
            *map(float, row[3:7]),
            int(row[7]),
        )
        for row in rows
    }
    assert len(candles) == 10
    assert candles <= set(days.select(days.columns[:8]).rows())
    # Reading leaves no metastore and no warehouse behind.
    assert not [*ROOT.glob("metastore_db"), *ROOT.glob("spark-warehouse"), *ROOT.glob("derby.log")]


def test_all_tables_are_complete(spark: Spark, frames: dict[str, pl.DataFrame]) -> None:
    names = [spec.name for spec in tables(DEFAULT_CALENDAR)]
    counts = "\n".join(f"select '{name}', count(*) from market_data.{name};" for name in names)
    process = spark(f"use demo;\n{counts}\nselect current_timezone(), 1;\n")
    assert process.returncode == 0, process.stderr
    results = dict(line.split("\t") for line in process.stdout.splitlines() if "\t" in line)
    assert results.pop("UTC") == "1"
    assert results == {name: str(frame.height) for name, frame in frames.items()}
