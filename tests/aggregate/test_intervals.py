"""Engines with other intervals than the default, and with intervals that change."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Producer

from homma.core.calendar import DEFAULT_CALENDAR, calendar_of
from homma.errors import StateError
from homma.formats import CURRENT
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import Committed, GroupOffsets
from tests.aggregate.restarts import SHORT, reset
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick

DAY = "2025-03-20T"
SECONDS = calendar_of(["s1", "m1"])


def at_us(text: str) -> int:
    return int(pl.Series([text]).str.to_datetime(time_unit="us").cast(pl.Int64)[0])


def committed(pipeline: Pipeline) -> Committed:
    reader = GroupOffsets(pipeline.config, pipeline.settings.group, pipeline.topics.ticks)
    try:
        state = reader.committed(0)
        assert state is not None
        return state
    finally:
        reader.close()


def metadata(pipeline: Pipeline) -> dict[str, Any]:
    return dict(json.loads(committed(pipeline).metadata))


def same_as_all_ticks(pipeline: Pipeline, *ticks: dict[str, Any]) -> None:
    same_candles(pipeline.candles(), batch_candles(ticks, calendar=pipeline.calendar))


# --- without months ---------------------------------------------------------------------------
@pytest.mark.parametrize("codes", ["s1,m1", "m20,m30", "s10,s15", "W1"])
def test_a_restart_continues_the_candles_of_any_intervals(bootstrap: str, codes: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=calendar_of(codes.split(",")))
    ticks = [
        tick(f"{DAY}14:{m:02}:{s:02}", m + s / 100, m * 60 + s)
        for m in (19, 20, 31)
        for s in (5, 12, 5, 50)
    ]
    for single in ticks:
        pipeline.send(single)
        pipeline.work_off()
    same_as_all_ticks(pipeline, *ticks)
    assert pipeline.counted("homma_ticks_duplicate") == 3
    # Only chosen intervals have a topic, and the months, which are internal.
    assert {*pipeline.topics.public_candles} == {*codes.split(",")}
    assert {*pipeline.topics.candles} == {*codes.split(","), "M1"}
    stored = metadata(pipeline)
    assert (stored["format"], stored["intervals"]) == (CURRENT, codes.split(","))
    assert {*stored["began"]} == {*stored["candlesFrom"]} == {*codes.split(","), "M1"}


def test_the_clock_of_a_dormant_series_survives_without_months(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=SECONDS)
    newest = tick(DAY + "14:42:00", 10, 7)
    pipeline.send(tick(DAY + "14:31:00", 9, 6), newest)
    pipeline.work_off()
    other = tick(DAY + "14:30:00", 1, 1, "BBB")
    for _ in range(2):
        pipeline.send(other)
        pipeline.work_off()
    # The end of minute 31 is 10 minutes behind the series' newest tick.
    pipeline.send(newest, tick(DAY + "14:31:59.999", 1, 8), tick(DAY + "14:32:00", 2, 9))
    pipeline.work_off()
    assert pipeline.counted("homma_ticks_dropped_late") == 1
    assert pipeline.counted("homma_ticks_duplicate") == 2
    assert pipeline.candle("m1", DAY + "14:31:00")["volume"] == 1
    assert pipeline.candle("s1", DAY + "14:32:00")["volume"] == 1


def sent_when_it_happened(bootstrap: str) -> Pipeline:
    """A pipeline whose ticks have their event times as Kafka timestamps: see `send_at`."""
    pipeline = Pipeline(bootstrap, calendar=SECONDS)
    spec = contract.specs(replace(pipeline.topic_settings, topic=pipeline.name), 1)[0]
    by_producer = {**spec.config, "message.timestamp.type": "CreateTime"}
    Admin(pipeline.config).ensure([replace(spec, config=by_producer)], 1)
    pipeline.topics = replace(pipeline.topics, ticks=pipeline.name)
    return pipeline


def send_at(pipeline: Pipeline, *ticks: dict[str, Any]) -> None:
    producer = Producer(pipeline.config)
    for sent in ticks:
        key, at = f"{sent['source']}:{sent['symbol']}", at_us(sent["dateTime"])
        producer.produce(pipeline.topics.ticks, json.dumps(sent), key, timestamp=at // 1000)
    assert producer.flush(10) == 0


def test_a_candle_of_a_second_is_restored_when_its_series_wakes(bootstrap: str) -> None:
    """Its record is older than allowed_lateness, but its minute is not over for so long."""
    pipeline = sent_when_it_happened(bootstrap)
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H:")
    first, second = tick(hour + "31:00.5", 10, 1), tick(hour + "31:02", 11, 2)
    newest = tick(hour + "32:00.9", 11, 4)
    other, late = tick(hour + "32:05", 1, 1, "BBB"), tick(hour + "31:00.7", 12, 3)
    for sent in (first, second, newest, other):
        send_at(pipeline, sent)
        pipeline.work_off(**SHORT)
    send_at(pipeline, late, first)
    pipeline.work_off(**SHORT)
    same_as_all_ticks(pipeline, first, second, newest, other, late)
    assert pipeline.counted("homma_ticks_duplicate") == 1


# --- intervals that are added and removed -----------------------------------------------------
def complete(pipeline: Pipeline, begin: str, new: list[str], *ticks: dict[str, Any]) -> None:
    """Check the candles: those of the new intervals that start after `begin`, and all others."""
    expected = batch_candles(ticks, calendar=pipeline.calendar)
    is_withheld = pl.col("interval").is_in(new) & (pl.col("start_us") <= at_us(begin))
    same_candles(pipeline.candles(), expected.filter(~is_withheld))


def test_an_added_interval_begins_after_the_newest_tick(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=calendar_of(["m1", "m5"]))
    newest = DAY + "14:31:10"
    ticks = [
        tick(DAY + "14:30:10", 10, 1),
        tick(newest, 11, 2),
        tick(DAY + "14:29:00", 12, 3, "BBB"),
    ]
    pipeline.send(*ticks)
    pipeline.work_off()
    pipeline.choose(calendar_of(["m1", "m5", "s5", "h2"]))
    more = [
        tick(DAY + "14:31:12", 13, 4),  # in a candle of 5 seconds that has another tick
        tick(DAY + "14:31:19", 14, 5),
        tick(DAY + "14:30:59", 15, 6),  # late
        tick(DAY + "14:31:08", 16, 4, "BBB"),  # in an earlier candle of 5 seconds
        tick(DAY + "14:31:21", 17, 5, "BBB"),
    ]
    pipeline.send(*more)
    pipeline.work_off()
    complete(pipeline, newest, ["s5", "h2"], *ticks, *more)
    assert pipeline.candle("s5", DAY + "14:31:15")["volume"] == 1
    begin = at_us(newest) + 1
    assert metadata(pipeline)["begin"] == {"s5": begin, "h2": begin}
    # A restart still withholds them, late corrections included.
    later = [
        tick(DAY + "14:31:13", 18, 7),
        tick(DAY + "14:31:16", 19, 8),
        tick(DAY + "16:00:00", 20, 9),
        tick(DAY + "15:59:00", 21, 10),
    ]
    pipeline.send(*later)
    pipeline.work_off()
    complete(pipeline, newest, ["s5", "h2"], *ticks, *more, *later)
    assert pipeline.candle("h2", DAY + "16:00:00")["is_final"] is False
    assert metadata(pipeline)["begin"] == {"s5": begin, "h2": begin}


def test_a_removed_interval_is_new_when_it_is_added_again(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=calendar_of(["m1", "m5"]))
    ticks = [tick(DAY + "14:30:10", 10, 1)]

    def send(at: str, *codes: str) -> None:
        pipeline.choose(calendar_of(codes))
        ticks.append(tick(DAY + at, 10 + len(ticks), len(ticks) + 1))
        pipeline.send(ticks[-1])
        pipeline.work_off()

    pipeline.send(*ticks)
    pipeline.work_off()
    send("14:31:10", "m1")
    stored = metadata(pipeline)
    assert stored["intervals"] == ["m1"]
    assert {*stored["began"]} == {*stored["candlesFrom"]} == {"m1", "M1"}
    assert stored["begin"] == {}
    send("14:34:59", "m1", "m5")
    assert metadata(pipeline)["begin"] == {"m5": at_us(DAY + "14:31:10") + 1}
    # The candle from before it was removed stays as it was.
    assert pipeline.candle("m5", DAY + "14:30:00")["volume"] == 1
    send("14:35:00", "m1", "m5")
    assert pipeline.candle("m5", DAY + "14:35:00")["volume"] == 1
    assert pipeline.candle("m5", DAY + "14:30:00")["volume"] == 1
    # The months are complete although they were not chosen before.
    send("14:35:01", "m1", "M1")
    assert metadata(pipeline)["begin"] == {}
    same_as_all_ticks(pipeline, *ticks)


def test_the_first_ticks_after_an_empty_partition_are_in_all_candles(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=calendar_of(["m1"]))
    pipeline.send(b"no tick")
    pipeline.work_off()
    pipeline.choose(calendar_of(["m1", "D1"]))
    only = tick(DAY + "14:30:10")
    pipeline.send(only)
    pipeline.work_off()
    assert metadata(pipeline)["begin"] == {}
    same_as_all_ticks(pipeline, only)


# --- formats ----------------------------------------------------------------------------------
def test_older_formats_are_written_and_read_again(bootstrap: str) -> None:
    """By turns with the current format, as while engines are upgraded one after the other."""
    pipeline = Pipeline(bootstrap)
    ticks = [tick(f"{DAY}14:{30 + n}:10", 10 + n, n) for n in range(4)]
    for number, sent in enumerate(ticks):
        pipeline.send(sent)
        version = (CURRENT, 1, 2)[number % 3]
        pipeline.work_off(write_format=version)
        assert metadata(pipeline).get("format", 1) == version
        newest = pipeline.records(pipeline.topics.candles["m1"])[-1]
        written = dict(newest.headers() or ()).get("format", b"1")
        assert written == str(version).encode()
        assert ("tickCount" in json.loads(newest.value() or b"")) == (version > 1)
        assert (type(metadata(pipeline)["began"]) is list) == (version == 1)
    same_as_all_ticks(pipeline, *ticks)
    row = pipeline.candle("M1", "2025-03-01T00:00:00")
    assert row["tick_count"] == row["volume"] == 4


def test_other_intervals_are_not_written_in_format_1(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=SECONDS)
    pipeline.send(tick(DAY + "14:30:10"))
    with pytest.raises(StateError, match=r"^format 1 has the intervals m1,m5.*; upgrade every"):
        pipeline.work_off(write_format=1)
    assert pipeline.records(*pipeline.topics.candles.values()) == []
    # Nor the default ones, as long as some of their candles are withheld.
    pipeline.work_off()
    pipeline.choose(DEFAULT_CALENDAR)
    pipeline.send(tick(DAY + "14:31:10", number=2))
    before = len(pipeline.records(pipeline.topics.candles["m1"]))
    with pytest.raises(StateError, match=r"^format 1 cannot describe .*left to homma repair"):
        pipeline.work_off(write_format=1)
    assert len(pipeline.records(pipeline.topics.candles["m1"])) == before
    pipeline.work_off()


def test_metadata_of_a_newer_format_is_refused(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    reset(pipeline, 1, json.dumps({"format": CURRENT + 1, "intervals": {"m1": {}}}))
    with pytest.raises(StateError) as raised:
        pipeline.work_off()
    assert str(raised.value) == (
        f"the committed offset of {pipeline.topics.ticks} partition 0 was written by a newer homma "
        f"(format {CURRENT + 1}; this homma reads up to {CURRENT}); upgrade this homma"
    )


def test_a_candle_of_a_newer_format_is_refused(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick(DAY + "14:30:10"))
    pipeline.work_off()
    topic = pipeline.topics.candles["m5"]
    [record] = pipeline.records(topic)
    producer = Producer(pipeline.config)
    headers = {**dict(record.headers() or ()), "format": str(CURRENT + 1)}
    producer.produce(topic, record.value(), record.key(), headers=headers)
    assert producer.flush(10) == 0
    with pytest.raises(StateError) as raised:
        pipeline.work_off()
    assert str(raised.value) == (
        f"a candle in {topic} partition 0 was written by a newer homma (format {CURRENT + 1}; this "
        f"homma reads up to {CURRENT}); upgrade this homma"
    )


def test_candles_of_format_1_are_continued(bootstrap: str) -> None:
    """Records without tickCount and without a format have the volume as their tick count."""
    pipeline = Pipeline(bootstrap)
    ticks = [tick(DAY + "14:30:10", 10, 1), tick(DAY + "14:30:20", 11, 2)]
    pipeline.send(ticks[0])
    pipeline.work_off(write_format=1)
    pipeline.send(ticks[1])
    pipeline.work_off()
    assert {row["tick_count"] for row in pipeline.candles().to_dicts()} == {2}
    same_as_all_ticks(pipeline, *ticks)
