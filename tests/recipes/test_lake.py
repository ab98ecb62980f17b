"""A copy of homma with a new field lands, verifies and repairs candles in a real lake."""

import json
from typing import Any

import polars as pl
import pytest

from homma.core.calendar import calendar_of
from homma.core.interval import BY_CODE
from homma.errors import StateError
from homma.formats import CURRENT
from homma.lake.schema import candle_table
from tests.recipes.installation import AFTER, BEFORE, DAY, Installation
from tests.support.landing import lake_of
from tests.support.pipeline import tick

MINUTES = "candle_1min_iceberg"


def verified(installation: Installation) -> tuple[int, dict[str, Any]]:
    """The exit status of the copy's `homma verify`, and its report."""
    group = installation.pipeline.settings.group
    done = installation.finished("verify", "--group", group, "--json")
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def test_existing_tables_get_the_new_column(upgraded: Installation) -> None:
    for code in BEFORE:
        table = upgraded.sinks.table(candle_table(BY_CODE[code]).name)
        column = table.schema().find_field("ticks2")
        assert (column.doc, column.required) == ("Number of ticks, again.", False)
        assert len(table.schemas()) == 2
        assert table.properties["homma.format"] == str(CURRENT + 1)
    minutes = upgraded.sinks.rows(MINUTES)
    # Rows that were landed before lack it.
    has_field = minutes["ticks2"].is_not_null()
    assert 0 < has_field.sum() < minutes.height
    assert (minutes["ticks2"] == minutes["tick_count"]).filter(has_field).all()


def test_tables_of_new_intervals_have_the_new_column(upgraded: Installation) -> None:
    for code in set(AFTER) - set(BEFORE):
        rows = upgraded.sinks.rows(candle_table(BY_CODE[code]).name)
        assert rows.height > 0
        assert rows.columns[rows.columns.index("ticks2") - 1] == "tick_count"
        assert (rows["ticks2"] == rows["tick_count"]).all()


def test_the_lake_has_all_ticks_and_candles(upgraded: Installation) -> None:
    assert upgraded.sinks.check() == 240


def test_a_homma_without_the_field_refuses_the_table(upgraded: Installation) -> None:
    with (
        lake_of(upgraded.sinks) as lake,
        pytest.raises(StateError, match=r"was written by a newer homma .* upgrade this homma"),
    ):
        lake.table(candle_table(BY_CODE["m1"]))


def test_candles_of_new_intervals_are_repaired_and_verified(upgraded: Installation) -> None:
    """Candles from before an interval was chosen are missing until they are repaired."""
    status, report = verified(upgraded)
    wrong = {name for name, counts in report["topics"].items() if set(counts) != {"equal"}}
    assert (status, wrong) == (1, {"5sec", "2hour"})
    upgraded.run("repair", "--group", upgraded.pipeline.settings.group)
    upgraded.run("land", "--until-end")
    status, report = verified(upgraded)
    assert (status, report["wrong"], report["ticks"]) == (0, 0, 240)
    assert set(report["tables"]) == set(report["topics"]) == {"5sec", "1min", "2hour", "1month"}


def test_a_wrong_value_of_the_field_is_found(installed: Installation) -> None:
    installed.pipeline.choose(calendar_of(AFTER))
    installed.pipeline.send(*(tick(f"{DAY}12:{n:02}:00", 1 + n, n, symbol="A") for n in range(10)))
    installed.work_off()
    assert verified(installed)[0] == 0
    table, rows = installed.sinks.table(MINUTES), installed.sinks.rows(MINUTES)
    is_damaged = pl.col("date_time") == rows["date_time"].min()
    damaged = rows.with_columns(ticks2=pl.col("ticks2") + is_damaged)
    arrow = damaged.to_arrow(compat_level=pl.CompatLevel.oldest())
    table.overwrite(arrow.cast(table.schema().as_arrow()))
    status, report = verified(installed)
    [example] = report["examples"]["tables"]
    assert (status, report["wrong"]) == (1, 1)
    assert (example["actual"]["ticks2"], example["expected"]["ticks2"]) == (2, 1)
