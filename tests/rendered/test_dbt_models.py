"""The rendered dbt files: models for each interval, and a source for each table."""

import yaml

from homma.core.interval import INTERVALS
from homma.lake.schema import TABLES
from homma.rendered.dbt import files, split_name


def test_names_match_lengths() -> None:
    units = {"min": 1, "hour": 60, "day": 1440, "week": 10_080, "month": 44_640}
    for interval in INTERVALS:
        count, unit = split_name(interval)
        assert count * units[unit] * 60_000_000 == interval.longest_us


def test_every_table_is_a_source_and_every_interval_has_models() -> None:
    rendered = files()
    sources = yaml.safe_load(rendered["deploy/dbt/models/sources.yml"])["sources"]
    lake = {table["name"]: table for table in sources[0]["tables"]}
    assert set(lake) == {spec.name for spec in TABLES}
    for spec in TABLES:
        columns = [column["name"] for column in lake[spec.name]["columns"]]
        assert columns == [column.name for column in spec.columns]
    for kind in ("staging/stg", "live/stg_live", "land/land"):
        models = [name for name in rendered if name.startswith(f"deploy/dbt/models/{kind}_candle_")]
        assert len(models) == len(INTERVALS)
