"""A field added to a copy of core/fields.py is aggregated and restored, with new intervals."""

import json
from typing import Any

from homma.core.calendar import calendar_of
from homma.formats import CURRENT
from tests.recipes.installation import AFTER, BEFORE, DAY, aggregate
from tests.support.homma_copy import HommaCopy
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick


def newest(pipeline: Pipeline, code: str) -> list[dict[str, Any]]:
    """The newest record of each candle of an interval."""
    records = pipeline.records(pipeline.topics.candles[code])
    return list({m.key(): json.loads(m.value() or b"") for m in records}.values())


def test_a_new_field_is_aggregated_restored_and_corrected(
    bootstrap: str, homma_copy: HommaCopy
) -> None:
    """The copy continues candles without the field, and takes intervals that are new to them."""
    pipeline = Pipeline(bootstrap, calendar=calendar_of(BEFORE))
    before = [tick(DAY + "14:30:10", 10, 1), tick(DAY + "14:31:10", 11, 2)]
    pipeline.send(*before)
    pipeline.work_off()
    assert all("ticks2" not in candle for candle in newest(pipeline, "m1"))

    pipeline.choose(calendar_of(AFTER))
    # The second is late: it corrects a candle that is restored.
    later = [tick(DAY + "16:00:01", 12, 3), tick(DAY + "15:59:59", 13, 4)]
    pipeline.send(*later)
    aggregate(pipeline, homma_copy)
    more = [tick(DAY + "16:00:02", 14, 5), tick(DAY + "15:59:58", 15, 6)]
    pipeline.send(*more)
    aggregate(pipeline, homma_copy)

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


def test_the_former_format_has_no_new_field(bootstrap: str, homma_copy: HommaCopy) -> None:
    """Engines without the field continue what the copy writes until all of them are upgraded."""
    pipeline = Pipeline(bootstrap, calendar=calendar_of(AFTER))
    pipeline.send(tick(DAY + "14:30:10", 10, 1))
    aggregate(pipeline, homma_copy, "--write-format", str(CURRENT))
    pipeline.send(tick(DAY + "14:30:11", 11, 2))
    pipeline.work_off()
    [minute] = newest(pipeline, "m1")
    assert (minute["volume"], "ticks2" in minute) == (2, False)


def test_a_new_field_is_in_the_schema_of_a_candle(homma_copy: HommaCopy) -> None:
    script = "import json; from homma.topics import schemas; print(json.dumps(schemas.candle()))"
    schema = json.loads(homma_copy.output("-c", script))
    names = list(schema["properties"])
    assert names[names.index("ticks2") - 1] == "tickCount"
    assert schema["properties"]["ticks2"]["minimum"] == 1
    assert "ticks2" not in schema["required"]
