"""The rendered dbt files: models for each interval, and a source for each table."""

import pytest
import yaml

from homma.core.calendar import DEFAULT_CALENDAR, Calendar, calendar_of
from homma.core.interval import BY_CODE
from homma.lake.schema import tables
from homma.rendered.dbt import files, split_name

CALENDARS = (DEFAULT_CALENDAR, calendar_of(["s10", "m20", "h2", "D1"]))


def test_names_match_lengths() -> None:
    units = {"sec": 1, "min": 60, "hour": 3600, "day": 86_400, "week": 604_800, "month": 2_678_400}
    for interval in BY_CODE.values():
        count, unit = split_name(interval)
        assert count * units[unit] * 1_000_000 == interval.longest_us


@pytest.mark.parametrize("calendar", CALENDARS, ids=str)
def test_every_table_is_a_source_and_every_interval_has_models(calendar: Calendar) -> None:
    rendered = files(calendar)
    sources = yaml.safe_load(rendered["deploy/dbt/models/sources.yml"])["sources"]
    lake = {table["name"]: table for table in sources[0]["tables"]}
    assert list(lake) == [spec.name for spec in tables(calendar)]
    for spec in tables(calendar):
        columns = [column["name"] for column in lake[spec.name]["columns"]]
        assert columns == [column.name for column in spec.columns]
    for kind in ("staging/stg", "live/stg_live", "land/land"):
        models = {name for name in rendered if name.startswith(f"deploy/dbt/models/{kind}_candle_")}
        assert models == {f"deploy/dbt/models/{kind}_candle_{i.name}.sql" for i in calendar}


def test_an_interval_without_a_finer_one_is_compared_with_ticks() -> None:
    text = files(calendar_of(["m20", "m30", "h2"]))["deploy/dbt/models/staging/candles.yml"]
    tests = {
        model["name"]: [name for test in model["data_tests"] for name in test][-1]
        for model in yaml.safe_load(text)["models"]
    }
    assert tests == {
        "stg_candle_20min": "no_gap_where_ticks_exist",
        "stg_candle_30min": "no_gap_where_ticks_exist",
        "stg_candle_2hour": "rolls_up",
    }
