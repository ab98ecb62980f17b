"""Recorded ticks as a source: order, speed and rebased dates, with a simulated clock."""

import json
from math import ceil, inf
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording, RecordingSummary, Replay, summarize
from homma.feed.source import MAX_BEHIND_US
from tests.feed.market import SECOND_US, START_US, checked

#: Event times in seconds since START_US: two equal, and one earlier than the tick before it.
SECONDS = [0, 0, 10, 4, 20, 60]
DATA = Path(__file__).parents[3] / "shared" / "data" / "fxcm-eurusd-ticks.parquet"


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return recorded(tmp_path, SECONDS)


def recorded(folder: Path, seconds: list[int], **more: Any) -> Recording:
    path = folder / "t.parquet"
    event = pl.Series(seconds, dtype=pl.Int64) * SECOND_US + START_US
    pl.DataFrame(
        {"mid": [float(i + 1) for i in range(len(seconds))], "dateTime": event, **more}
    ).write_parquet(path)
    return Recording([path], ColumnMapping(source="S", symbol="X", unit="us"))


def due(replay: Replay, now_us: int, limit: int = 1_000) -> list[dict[str, Any]] | None:
    records = replay.take(now_us, limit)
    return None if records is None else [json.loads(value) for value in records.values]


def numbers(ticks: list[dict[str, Any]] | None) -> list[int] | None:
    return None if ticks is None else [tick["number"] for tick in ticks]


def test_at_infinite_speed_order_and_dates_are_those_of_the_file(recording: Recording) -> None:
    replay = Replay(recording, inf)
    assert replay.total == 6
    ticks = due(replay, 0)
    assert ticks is not None
    assert numbers(ticks) == [1, 2, 3, 4, 5, 6]
    assert ticks[3] == {
        "source": "S",
        "symbol": "X",
        "ask": 4.0,
        "bid": 4.0,
        "mid": 4.0,
        "number": 4,
        "dateTime": "2025-03-20T14:31:32.000",
    }
    assert due(replay, 0) is None
    assert due(replay, 0) is None


@pytest.mark.parametrize("speed", [1, 60, 0.5])
def test_speed_is_event_time_over_wall_time(recording: Recording, speed: float) -> None:
    replay, began_us = Replay(recording, speed), 5_000_000_000

    def after(event_s: float) -> list[int] | None:
        return numbers(due(replay, began_us + ceil(event_s * SECOND_US / speed)))

    assert after(0) == [1, 2]
    assert after(9.9) == []
    # The earlier tick is sent together with the tick before it.
    assert after(10) == [3, 4]
    assert after(20) == [5]
    assert after(59.9) == []
    assert after(60) == [6]
    assert after(60) is None


def test_an_overlap_of_files_delays_no_ticks(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, seconds in zip(paths, ([0, 10], [4, 20]), strict=True):
        pl.DataFrame({"mid": [1.0, 1.0], "dateTime": seconds}).write_csv(path)
    replay = Replay(Recording(paths, ColumnMapping(source="S", symbol="X", unit="s")), 1)
    sent = {second: numbers(due(replay, second * SECOND_US)) for second in range(10)}
    assert sent == {0: [1]} | {second: [] for second in range(1, 10)}
    assert numbers(due(replay, 10 * SECOND_US)) == [2]
    assert numbers(due(replay, 10 * SECOND_US)) == [3]
    assert numbers(due(replay, 20 * SECOND_US - 1)) == []
    assert numbers(due(replay, 20 * SECOND_US)) == [4]


def test_a_delayed_replay_does_not_burst(recording: Recording) -> None:
    replay = Replay(recording, 1)
    assert numbers(due(replay, 0)) == [1, 2]
    # After an hour of sleep, the waiting ticks are sent and the others keep their distances.
    hour_us = 3_600 * SECOND_US
    assert numbers(due(replay, hour_us)) == [3, 4]
    assert numbers(due(replay, hour_us + 10 * SECOND_US - MAX_BEHIND_US - 1)) == []
    assert numbers(due(replay, hour_us + 10 * SECOND_US - MAX_BEHIND_US)) == [5]


def test_batches_respect_the_limit(recording: Recording) -> None:
    replay = Replay(recording, inf)
    assert [numbers(due(replay, 0, 4)), numbers(due(replay, 0, 4))] == [[1, 2, 3, 4], [5, 6]]


@pytest.mark.parametrize("speed", [1, 60, 0.5])
def test_rebase_dates_the_last_tick_at_the_time_of_sending(
    recording: Recording, speed: float
) -> None:
    replay = Replay(recording, speed, summarize(recording, 0), rebase=True)
    began_us, ticks = 2_000_000_000_000_000, []
    ends_us = began_us + round(60 * SECOND_US / speed)
    for now_us in (*range(began_us, ends_us, SECOND_US // 2), ends_us - 1):
        ticks += due(replay, now_us) or []
    assert numbers(ticks) == [1, 2, 3, 4, 5]
    ticks += due(replay, ends_us) or []
    events = checked([json.dumps(tick).encode() for tick in ticks], ends_us)
    assert events["error"].null_count() == 6
    assert events["event_us"].to_list() == [ends_us + (s - 60) * SECOND_US for s in SECONDS]


def test_rebase_at_infinite_speed_dates_the_last_tick_at_the_start(recording: Recording) -> None:
    replay = Replay(recording, inf, summarize(recording, 0), rebase=True)
    ticks = due(replay, START_US + 777)
    assert ticks is not None
    assert ticks[-1]["dateTime"] == "2025-03-20T14:31:28.000777"


def test_rebase_with_a_limit_uses_the_last_tick_of_the_limit(recording: Recording) -> None:
    replay = Replay(recording, 1, summarize(recording, 4), rebase=True)
    began_us = 2_000_000_000_000_000
    ticks: list[dict[str, Any]] = []
    for second in range(11):
        ticks += due(replay, began_us + second * SECOND_US) or []
    at = checked([json.dumps(tick).encode() for tick in ticks], began_us)["event_us"]
    # The fourth tick is sent with the third, ten seconds after the first.
    assert at[3] == began_us + 10 * SECOND_US


def test_rebase_moves_receive_dates_too(tmp_path: Path) -> None:
    received = pl.Series([START_US + 386_000, None])
    recording = recorded(tmp_path, [0, 1], receiveDateTime=received)
    replay = Replay(recording, inf, summarize(recording, 0), rebase=True)
    ticks = due(replay, START_US)
    assert ticks is not None
    assert ticks[0]["dateTime"] == "2025-03-20T14:31:27.000"
    assert ticks[0]["receiveDateTime"] == "2025-03-20T14:31:27.386"
    assert ticks[1]["receiveDateTime"] is None


def test_the_summary_of_a_recording(recording: Recording) -> None:
    at = [START_US + s * SECOND_US for s in (0, 4, 10, 60)]
    assert summarize(recording, 0) == RecordingSummary(6, at[0], at[3], at[3])
    assert summarize(recording, 4) == RecordingSummary(4, at[0], at[1], at[2])
    assert summarize(recording, 100) == summarize(recording, 0)


def test_an_empty_file_has_no_ticks(tmp_path: Path) -> None:
    empty = recorded(tmp_path, [])
    assert summarize(empty, 0) is None
    assert Replay(empty, 1).take(0, 10) is None


@pytest.mark.skipif(not DATA.exists(), reason="the recorded quotes are not next to the project")
def test_recorded_quotes_are_exact_to_the_last_bit() -> None:
    replay, values = Replay(Recording([DATA], ColumnMapping()), inf), []
    while (records := replay.take(0, 10_000)) is not None:
        values += records.values
    assert replay.total == len(values) == 1_144_807
    actual, expected = checked(values), pl.read_parquet(DATA)
    assert actual["error"].null_count() == actual.height
    columns = ["source", "symbol", "ask", "bid", "mid", "number"]
    assert actual.select(columns).equals(expected.select(columns))
    assert actual["event_us"].equals(expected["dateTime"].cast(pl.Datetime("us")).cast(pl.Int64))
