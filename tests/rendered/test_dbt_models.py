"""What is rendered for dbt: a file for each interval, and a finer one that it is rolled up from."""

import polars as pl
import yaml
from hypothesis import given
from hypothesis import strategies as st

from homma.core.interval import INTERVALS, Interval
from homma.lake.schema import TABLES
from homma.rendered.dbt import files, finer, split_name

YEAR_2100_US = 4_102_444_800_000_000


def floor(interval: Interval, at_us: int) -> int:
    started: int = pl.select(interval.floor(pl.lit(at_us))).item()
    return started


@given(st.integers(0, YEAR_2100_US))
def test_an_interval_is_made_of_whole_finer_ones(at_us: int) -> None:
    for interval in INTERVALS:
        below = finer(interval)
        if below is not None:
            assert floor(interval, floor(below, at_us)) == floor(interval, at_us)


def test_only_the_finest_is_made_of_ticks() -> None:
    assert [interval.name for interval in INTERVALS if finer(interval) is None] == ["1min"]


def test_names_say_how_long() -> None:
    units = {"min": 1, "hour": 60, "day": 1440, "week": 10_080, "month": 44_640}
    for interval in INTERVALS:
        count, unit = split_name(interval)
        assert count * units[unit] * 60_000_000 == interval.longest_us


def test_every_table_is_a_source_and_every_interval_has_its_models() -> None:
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
