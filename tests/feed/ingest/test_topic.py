"""Ticks of foreign topics on a real broker."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from homma.errors import OffsetGone, StateError
from homma.topics.kafka.admin import Admin
from tests.support.engines import NOON
from tests.support.ingesting import (
    EXCHANGE,
    ForeignTopic,
    Ingestions,
    check,
    definition,
    messages,
    trade,
)
from tests.support.pipeline import Pipeline, until


@pytest.fixture
def topic(bootstrap: str) -> ForeignTopic:
    return ForeignTopic(Pipeline(bootstrap, partitions=3))


def recreate(topic: ForeignTopic) -> None:
    client = AdminClient(topic.pipeline.config)
    client.delete_topics([topic.name])[topic.name].result(20)
    until(lambda: topic.name not in Admin(topic.pipeline.config).partitions())
    topic.create()


def ticks(topic: ForeignTopic) -> int:
    return len(topic.pipeline.records(topic.pipeline.topics.ticks))


def test_each_record_becomes_a_tick_or_a_dead_letter_once(topic: ForeignTopic) -> None:
    topic.send(messages(1, 3_000))
    topic.work_off()
    check(topic)
    assert topic.counted("homma_ticks_read") == 3_000
    fates = ("homma_ticks_forwarded", "homma_records_not_ticks", "homma_ticks_dead")
    assert all(topic.counted(name) > 0 for name in fates)
    assert sum(topic.counted(name) for name in fates) == 3_000


def test_a_second_start_continues(topic: ForeignTopic) -> None:
    for seed in range(3):
        topic.send(messages(seed, 300))
        topic.work_off()
    check(topic)
    assert topic.counted("homma_ticks_read") == 900


def test_a_dead_letter_is_as_it_was_sent(topic: ForeignTopic) -> None:
    topic.send([b"{"], [b"odd key"])
    topic.work_off()
    [sent] = topic.records()
    [letter] = topic.pipeline.records(topic.pipeline.topics.dead)
    assert (letter.key(), letter.value()) == (b"odd key", b"{")
    assert letter.timestamp()[1] == sent.timestamp()[1]
    assert dict(letter.headers() or ())["topic"] == topic.name.encode()


def test_partitions_ahead_wait_for_the_others(topic: ForeignTopic) -> None:
    """Each partition has a part of a series' trades of one hour: none is dropped as late."""
    values = [trade(number, at=NOON + number * timedelta(seconds=1)) for number in range(3_600)]
    # Two keys, each of its own partition.
    for part, key in enumerate((b"0", b"1")):
        topic.send(values[part::2], [key] * 1_800)
    assert len({message.partition() for message in topic.records()}) == 2
    topic.work_off()
    topic.pipeline.work_off(price="trade")
    assert topic.pipeline.records(topic.pipeline.topics.late) == []
    assert topic.pipeline.candles().filter(interval="D1")["tick_count"].sum() == 3_600


def test_a_topic_made_again_is_refused(topic: ForeignTopic) -> None:
    topic.send([trade(number) for number in range(100)])
    topic.work_off()
    recreate(topic)
    topic.send([trade(number) for number in range(200)])
    with pytest.raises(StateError, match=r"deleted and created again; .* another --group"):
        topic.work_off()
    assert ticks(topic) == 100
    topic.work_off(group=f"{topic.pipeline.settings.group}-2")
    assert ticks(topic) == 300


def test_a_topic_made_again_meanwhile_is_refused(topic: ForeignTopic) -> None:
    topic.send([trade(number) for number in range(100)])
    failed: list[StateError] = []
    loop = topic.loop(emit_every=timedelta(milliseconds=20))

    def stopped() -> bool:
        if not failed and topic.counted("homma_ticks_forwarded") == 100:
            failed.append(StateError("", ""))
            recreate(topic)
            topic.send([trade(number) for number in range(100)])
        return False

    # The next offset may be beyond the end of the new topic.
    with pytest.raises((StateError, OffsetGone), match=r"deleted and created again|no longer"):
        loop.run(stopped)
    assert ticks(topic) == 100


def test_records_deleted_before_they_were_read_are_a_loss_to_accept(topic: ForeignTopic) -> None:
    topic.send([trade(number) for number in range(100)])
    topic.work_off()
    topic.send([trade(number) for number in range(100)])
    client = AdminClient(topic.pipeline.config)
    ends = topic.end_offsets()
    for deleted in client.delete_records(ends).values():
        deleted.result(20)
    topic.send([trade(number) for number in range(10)])
    with pytest.raises(StateError, match=r"were deleted by retention .* --accept-loss"):
        topic.work_off()
    topic.work_off(accept_loss=True)
    assert ticks(topic) == 110


def test_a_topic_may_grow(topic: ForeignTopic) -> None:
    topic.send(messages(1, 300))
    with topic.running(emit_every=timedelta(milliseconds=20)):
        until(lambda: topic.counted("homma_ticks_read") == 300)
        client = AdminClient(topic.pipeline.config)
        topic.partitions = 4
        client.create_partitions([NewPartitions(topic.name, 4)])[topic.name].result(20)
        until(lambda: Admin(topic.pipeline.config).partitions()[topic.name] == 4)
        topic.send(messages(2, 300))
        until(lambda: topic.counted("homma_ticks_read") == 600)
    check(topic)


def test_several_feeds_at_once(topic: ForeignTopic, tmp_path: Path) -> None:
    text = EXCHANGE.replace("feeds.exchange", "feeds.other").replace('"EXCHANGE"', '"OTHER"')
    other = ForeignTopic(topic.pipeline, definition(text), partitions=1)
    topic.send([trade(number) for number in range(100)])
    other.send([trade(number) for number in range(50)])
    (tmp_path / "homma.toml").write_text(
        EXCHANGE + text.replace("[feeds.other]", f'[feeds.other]\ntopic = "{other.name}"')
    )
    pipeline = topic.pipeline
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "homma", "ingest", f"exchange={topic.name}", "other"),
            *("--bootstrap.servers", pipeline.bootstrap, "--topic", pipeline.topics.ticks),
            *("--candle-topic", pipeline.name + "_{name}", "--until-end"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    made = [json.loads(m.value() or b"") for m in pipeline.records(pipeline.topics.ticks)]
    sources = [tick["source"] for tick in made]
    assert (sources.count("EXCHANGE"), sources.count("OTHER")) == (100, 50)


def test_it_waits_for_a_topic(topic: ForeignTopic, tmp_path: Path) -> None:
    later = replace(topic, name=topic.name + "_later")
    client = AdminClient(topic.pipeline.config)
    client.delete_topics([later.name])[later.name].result(20)
    until(lambda: later.name not in Admin(topic.pipeline.config).partitions())
    with Ingestions(later, tmp_path) as ingestions:
        assert "--wait-for-topic" in ingestions.start().wait_failed()
        waiting = ingestions.start("--wait-for-topic")
        until(lambda: "waiting until there is a topic" in waiting.output())
        later.create()
        later.send([trade(1)])
        until(lambda: ticks(later) == 1)
        waiting.stop()
