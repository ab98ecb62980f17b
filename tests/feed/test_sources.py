"""Tick sources from settings."""

from math import inf
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.errors import FeedError, SettingError
from homma.feed import sources
from homma.feed.recorded import ColumnMapping
from homma.settings import GenerateSettings, ReplaySettings
from tests.feed.market import SECOND_US, START_US, checked, take_values


def test_without_a_seed_only_prices_differ_and_ticks_start_now() -> None:
    settings = GenerateSettings(rate=1_000, series=10)
    later_us = START_US + 60 * SECOND_US
    first, second = (
        sources.synthetic(settings, now_us).take(now_us + SECOND_US, 1_000)
        for now_us in (START_US, later_us)
    )
    assert first is not None
    assert second is not None
    assert checked(first.values)["mid"].to_list() != checked(second.values)["mid"].to_list()
    ticks = checked(first.values)
    assert ticks["event_us"][0] == ticks["number"][0] == START_US
    assert set(ticks["symbol"]) == set(checked(second.values)["symbol"])


def test_a_seed_and_a_start_give_the_same_bytes_at_any_time() -> None:
    settings = GenerateSettings(seed="7", start="2025-03-20T14:31:28", speed="max", invalid=0.1)
    first = take_values(sources.synthetic(settings, START_US), 1_000)
    assert take_values(sources.synthetic(settings, 2 * START_US), 1_000) == first
    assert checked(first[:1])["number"][0] == START_US
    other = GenerateSettings(seed="8", start="2025-03-20T14:31:28", speed="max", invalid=0.1)
    assert take_values(sources.synthetic(other, START_US), 1_000) != first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": 0}, "sources is 0"),
        ({"series": -1}, "series is -1"),
        ({"series": 7}, "series is 7, which is not a multiple of 2 sources"),
        ({"rate": -1.0}, "rate is -1"),
        ({"start": "soon"}, "start is 'soon'"),
        ({"start": "1970-01-02T00:00:00"}, "from 1971"),
        ({"start": "2025-03-20T14:31:28", "rate": 0.0}, "start is set, but rate is 0"),
        ({"speed": "fast"}, "speed is 'fast'"),
        ({"late": 2.0}, "late is 2"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        sources.synthetic(GenerateSettings(**settings), START_US)


@pytest.mark.parametrize(("source_count", "series"), [(2, 20), (1, 7), (5, 1)])
def test_the_number_of_series_is_a_setting(source_count: int, series: int) -> None:
    settings = GenerateSettings(sources=source_count, series=series, rate=1_000)
    records = sources.synthetic(settings, START_US).take(START_US + SECOND_US, 1_000)
    assert records is not None
    assert checked(records.values).select("source", "symbol").n_unique() == series


def test_speeds() -> None:
    assert [sources.parse_speed(text) for text in ("1", "0.5", "max")] == [1.0, 0.5, inf]
    for text in ("0", "-1", "nan", "", "x60"):
        with pytest.raises(SettingError, match="speed is"):
            sources.parse_speed(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    pl.DataFrame({"price": [1.0, 2.0], "time": [0, 10]}).write_csv(path)
    return path


def test_files_are_read_according_to_the_settings(file: Path) -> None:
    settings = ReplaySettings(
        source="S", symbol="X", time_unit="s", speed="max", rebase="now", skip_invalid_rows=True
    )
    mapping = sources.mapping_of(settings, ["mid=price", "dateTime=time"], None)
    replay, recording = sources.replay([file], mapping, settings)
    records = replay.take(START_US, 10)
    assert records is not None
    assert checked(records.values)["event_us"].to_list() == [START_US - 10 * SECOND_US, START_US]
    assert (recording.skipped, replay.total) == (0, 2)


@pytest.mark.parametrize("pair", ["mid", "mid=", "=price", ""])
def test_a_mapping_without_a_column_is_rejected(pair: str) -> None:
    with pytest.raises(SettingError, match="does not name a column"):
        sources.mapping_of(ReplaySettings(), [pair], None)


def test_other_invalid_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="separator is ',,'"):
        sources.mapping_of(ReplaySettings(separator=",,"), [], None)
    empty = tmp_path / "empty.csv"
    empty.write_text("source,symbol,mid,dateTime\n", encoding="utf-8")
    with pytest.raises(FeedError, match="the files contain no ticks"):
        sources.replay([empty], ColumnMapping(), ReplaySettings(rebase="now"))
