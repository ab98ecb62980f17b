"""The names and settings of the topics."""

from datetime import timedelta

import pytest

from homma.core.calendar import DEFAULT_CALENDAR, calendar_of
from homma.core.interval import BY_CODE
from homma.errors import SettingError
from homma.settings import TopicSettings
from homma.topics.contract import (
    REJECTED_BYTES,
    TICK_BYTES,
    candle_retention,
    specs,
    topics,
)

NAMES = [
    "candle_1min",
    "candle_5min",
    "candle_10min",
    "candle_15min",
    "candle_30min",
    "candle_1hour",
    "candle_3hour",
    "candle_4hour",
    "candle_1day",
    "candle_1week",
    "candle_1month",
]


def test_the_names_of_the_contract() -> None:
    names = topics(TopicSettings())
    assert (names.ticks, names.dead, names.late) == (
        "stock_ticks",
        "stock_ticks_dead",
        "stock_ticks_late",
    )
    assert list(names.candles.values()) == NAMES
    assert names.public_candles == names.candles
    assert names.calendar == DEFAULT_CALENDAR


def test_the_topics_are_those_of_the_intervals() -> None:
    """Months have an internal topic if they are not chosen."""
    settings = TopicSettings(intervals=calendar_of(["m1", "s5", "h12"]))
    names = topics(settings)
    assert names.public_candles == {
        "s5": "candle_5sec",
        "m1": "candle_1min",
        "h12": "candle_12hour",
    }
    assert names.candles == {**names.public_candles, "M1": "candle_1month"}
    public = ("stock_ticks", "stock_ticks_dead", "stock_ticks_late", *names.public_candles.values())
    assert names.all() == public
    configs = {spec.name: spec.config for spec in specs(settings, 3)}
    assert list(configs) == [*public, "candle_1month"]
    days = timedelta(milliseconds=int(configs["candle_1month"]["retention.ms"])).days
    assert days == TopicSettings().day_retention.days


def test_retention_follows_the_length_of_an_interval() -> None:
    settings = TopicSettings(intervals=calendar_of(BY_CODE))
    days = {code: candle_retention(settings, i).days for code, i in BY_CODE.items()}
    assert {days[code] for code in BY_CODE if code[0] in "sm"} == {7}
    assert {days[code] for code in BY_CODE if code[0] == "h"} == {90}
    assert {days[code] for code in BY_CODE if code[0] in "DWM"} == {800}


def test_no_two_names_differ_by_case_alone() -> None:
    assert len({name.lower() for name in topics(TopicSettings()).all()}) == 14


def test_name_patterns_are_settings() -> None:
    names = topics(TopicSettings(topic="t", candle_topic="x-{name}-y", dead_topic="bad"))
    assert names.dead == "bad"
    assert names.late == "t_late"
    assert names.candles["m1"] == "x-1min-y"


@pytest.mark.parametrize(
    "settings", [{"candle_topic": "same"}, {"dead_topic": "{topic}"}, {"late_topic": "candle_1min"}]
)
def test_names_must_differ(settings: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="not all different"):
        topics(TopicSettings(**settings))  # type: ignore[arg-type]


def test_every_topic_has_the_partition_count_of_the_ticks() -> None:
    assert {spec.partitions for spec in specs(TopicSettings(), 7)} == {7}


def test_retention_and_cleanup() -> None:
    configs = {spec.name: spec.config for spec in specs(TopicSettings(), 1)}
    day_ms = timedelta(days=1) // timedelta(milliseconds=1)
    assert configs["stock_ticks"]["retention.ms"] == str(7 * day_ms)
    assert configs["stock_ticks"]["message.timestamp.type"] == "LogAppendTime"
    days = [int(configs[name]["retention.ms"]) // day_ms for name in NAMES]
    assert days == [7] * 5 + [90] * 3 + [800] * 3
    assert {configs[name]["cleanup.policy"] for name in NAMES} == {"compact,delete"}


def test_dead_and_late_topics_have_room_for_added_headers() -> None:
    configs = {spec.name: spec.config for spec in specs(TopicSettings(), 1)}
    max_bytes = int(configs["stock_ticks_dead"]["max.message.bytes"])
    assert max_bytes - int(configs["stock_ticks"]["max.message.bytes"]) == 64 * 1024
    assert max_bytes == REJECTED_BYTES == TICK_BYTES + 64 * 1024
