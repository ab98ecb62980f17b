"""spark-sql reads the lake, with the settings that compose will mount."""

from datetime import datetime

import polars as pl
import pytest

from homma.lake.schema import TABLES
from tests.engines.conftest import ROOT, Spark

pytestmark = pytest.mark.stack
#: To the letter.
TYPED = "use demo; select * from market_data.candle_1day_iceberg limit 10;\n"


def test_the_commands_to_the_letter(spark: Spark, frames: dict[str, pl.DataFrame]) -> None:
    done = spark(TYPED)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    assert len(rows) == 10
    days = frames["candle_1day_iceberg"]
    found = {
        (
            row[0],
            row[1],
            datetime.fromisoformat(row[2] + "+00:00"),
            *map(float, row[3:7]),
            int(row[7]),
        )
        for row in rows
    }
    assert len(found) == 10
    assert found <= set(days.select(days.columns[:8]).rows())
    # No metastore and no warehouse are left where somebody only looked.
    assert not [*ROOT.glob("metastore_db"), *ROOT.glob("spark-warehouse"), *ROOT.glob("derby.log")]


def test_all_tables_are_there_and_whole(spark: Spark, frames: dict[str, pl.DataFrame]) -> None:
    counts = "\n".join(f"select '{t.name}', count(*) from market_data.{t.name};" for t in TABLES)
    done = spark(f"use demo;\n{counts}\nselect current_timezone(), 1;\n")
    assert done.returncode == 0, done.stderr
    told = dict(line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    assert told.pop("UTC") == "1"
    assert told == {name: str(frame.height) for name, frame in frames.items()}
