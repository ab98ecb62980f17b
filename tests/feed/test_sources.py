"""From settings to sources."""

from math import inf
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.errors import FeedError, SettingError
from homma.feed import sources
from homma.settings import GenerateSettings, ReplaySettings
from tests.feed.market import SECOND_US, START_US, judged, taken


def test_made_up_ticks_begin_now_and_only_the_walks_differ() -> None:
    settings = GenerateSettings(rate=1_000, series=10)
    later_us = START_US + 60 * SECOND_US
    one, two = (
        sources.synthetic(settings, now_us).take(now_us + SECOND_US, 1_000)
        for now_us in (START_US, later_us)
    )
    assert one is not None
    assert two is not None
    assert judged(one.values)["mid"].to_list() != judged(two.values)["mid"].to_list()
    ticks = judged(one.values)
    assert ticks["event_us"][0] == ticks["number"][0] == START_US
    assert set(ticks["symbol"]) == set(judged(two.values)["symbol"])


def test_a_seed_and_a_start_give_the_same_bytes_at_any_time() -> None:
    settings = GenerateSettings(seed="7", start="2025-03-20T14:31:28", speed="max", invalid=0.1)
    first = taken(sources.synthetic(settings, START_US), 1_000)
    assert taken(sources.synthetic(settings, 2 * START_US), 1_000) == first
    assert judged(first[:1])["number"][0] == START_US
    other = GenerateSettings(seed="8", start="2025-03-20T14:31:28", speed="max", invalid=0.1)
    assert taken(sources.synthetic(other, START_US), 1_000) != first


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sources": 0}, "sources is 0"),
        ({"series": -1}, "series is -1"),
        ({"series": 7}, "series is 7, which 2 sources cannot share"),
        ({"rate": -1.0}, "rate is -1"),
        ({"start": "soon"}, "start is 'soon'"),
        ({"start": "1970-01-02T00:00:00"}, "from 1971"),
        ({"start": "2025-03-20T14:31:28", "rate": 0.0}, "rate is 0 where a start is given"),
        ({"speed": "fast"}, "speed is 'fast'"),
        ({"late": 2.0}, "late is 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        sources.synthetic(GenerateSettings(**given), START_US)


@pytest.mark.parametrize(("source_count", "series"), [(2, 20), (1, 7), (5, 1)])
def test_there_are_as_many_series_as_asked_for(source_count: int, series: int) -> None:
    settings = GenerateSettings(sources=source_count, series=series, rate=1_000)
    records = sources.synthetic(settings, START_US).take(START_US + SECOND_US, 1_000)
    assert records is not None
    assert judged(records.values).select("source", "symbol").n_unique() == series


def test_speeds() -> None:
    assert [sources.speed_of(text) for text in ("1", "0.5", "max")] == [1.0, 0.5, inf]
    for text in ("0", "-1", "nan", "", "x60"):
        with pytest.raises(SettingError, match="speed is"):
            sources.speed_of(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    pl.DataFrame({"price": [1.0, 2.0], "time": [0, 10]}).write_csv(path)
    return path


def test_files_are_read_as_the_settings_say(file: Path) -> None:
    settings = ReplaySettings(
        source="S", symbol="X", time_unit="s", speed="max", rebase="now", skip_invalid_rows=True
    )
    replay, recording = sources.replay([file], ["mid=price", "dateTime=time"], settings)
    records = replay.take(START_US, 10)
    assert records is not None
    assert judged(records.values)["event_us"].to_list() == [START_US - 10 * SECOND_US, START_US]
    assert (recording.skipped, replay.total) == (0, 2)


@pytest.mark.parametrize("pair", ["mid", "mid=", "=price", ""])
def test_a_mapping_without_a_column_is_refused(pair: str, file: Path) -> None:
    with pytest.raises(SettingError, match="names no column"):
        sources.replay([file], [pair], ReplaySettings())


def test_other_mistakes(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="separator is ',,'"):
        sources.replay([file], [], ReplaySettings(separator=",,"))
    empty = tmp_path / "empty.csv"
    empty.write_text("source,symbol,mid,dateTime\n", encoding="utf-8")
    with pytest.raises(FeedError, match="no ticks in the files"):
        sources.replay([empty], [], ReplaySettings(rebase="now"))
