"""A new field of a candle is a row in a copy of core/fields.py; new intervals are a setting."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import homma
from homma.core.calendar import calendar_of
from homma.topics.formats import CURRENT
from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, tick

SOURCE = Path(homma.__file__).parent
#: The row before which the new one is inserted.
NEXT_ROW = '    CandleField(\n        "openDateTime",'
#: A field like tickCount.
ROW = f"""    CandleField(
        "ticks2",
        "ticks2",
        "long",
        False,
        "Number of ticks, again.",
        "ticks",
        "sum",
        "one",
        in_every_record=False,
        if_absent="volume",
        since={CURRENT},
        public=True,
    ),
"""
DAY = "2025-03-20T"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes that import a copy of homma with one more row."""
    source = tmp_path_factory.mktemp("copy")
    shutil.copytree(SOURCE, source / "homma", ignore=shutil.ignore_patterns("page", "__pycache__"))
    table = source / "homma" / "core" / "fields.py"
    text = table.read_text(encoding="utf-8")
    assert text.count(NEXT_ROW) == 1
    table.write_text(text.replace(NEXT_ROW, ROW + NEXT_ROW), encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(source)}


def run(environment: dict[str, str], *argv: str) -> str:
    done = subprocess.run(
        [sys.executable, *argv], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def aggregate(pipeline: Pipeline, environment: dict[str, str]) -> None:
    """Run the copy's engine to the end of the topic."""
    engine = pipeline.process("--until-end", env=environment)
    assert engine.wait(60) == 0


def newest(pipeline: Pipeline, code: str) -> list[dict[str, Any]]:
    """The newest record of each candle of an interval."""
    records = pipeline.records(pipeline.topics.candles[code])
    return list({m.key(): json.loads(m.value() or b"") for m in records}.values())


def test_a_new_field_is_aggregated_restored_and_corrected(
    bootstrap: str, environment: dict[str, str]
) -> None:
    """The copy continues candles without the field, and takes intervals that are new to them."""
    pipeline = Pipeline(bootstrap, calendar=calendar_of(["m1", "M1"]))
    before = [tick(DAY + "14:30:10", 10, 1), tick(DAY + "14:31:10", 11, 2)]
    pipeline.send(*before)
    pipeline.work_off()
    assert all("ticks2" not in candle for candle in newest(pipeline, "m1"))

    pipeline.choose(calendar_of(["s5", "m1", "h2", "M1"]))
    # The second is late: it corrects a candle that is restored.
    later = [tick(DAY + "16:00:01", 12, 3), tick(DAY + "15:59:59", 13, 4)]
    pipeline.send(*later)
    aggregate(pipeline, environment)
    more = [tick(DAY + "16:00:02", 14, 5), tick(DAY + "15:59:58", 15, 6)]
    pipeline.send(*more)
    aggregate(pipeline, environment)

    same_candles(
        pipeline.candles().filter(interval="m1"),
        batch_candles([*before, *later, *more], calendar=calendar_of(["m1"])),
    )
    by_start = {candle["dateTime"]: candle for candle in newest(pipeline, "m1")}
    assert by_start[DAY + "15:59:00.000"]["ticks2"] == 2
    # Its record was written before there was the field.
    assert "ticks2" not in by_start[DAY + "14:30:00.000"]
    [month] = newest(pipeline, "M1")
    assert month["ticks2"] == month["tickCount"] == month["volume"] == 6
    assert [candle["ticks2"] for candle in newest(pipeline, "h2")] == [2]
    assert sum(candle["ticks2"] for candle in newest(pipeline, "s5")) == 4


def test_a_new_field_is_in_the_schema_of_a_candle(environment: dict[str, str]) -> None:
    script = "import json; from homma.topics import schemas; print(json.dumps(schemas.candle()))"
    schema = json.loads(run(environment, "-c", script))
    names = list(schema["properties"])
    assert names[names.index("ticks2") - 1] == "tickCount"
    assert schema["properties"]["ticks2"]["minimum"] == 1
    assert "ticks2" not in schema["required"]
