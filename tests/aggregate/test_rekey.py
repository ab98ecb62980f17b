"""`--rekey`: scattered series and ticks without a key give the same candles."""

import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from homma.aggregate.job import candle_loop
from homma.aggregate.rekey import rekey_loop
from homma.errors import SplitSeries, StateError
from homma.partitions.loop import Loop
from homma.partitions.outgoing import OutgoingBatch
from homma.partitions.stage import tick_topics
from homma.partitions.together import run_together
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender
from homma.topics.ticks import ParsedBatch
from tests.support.engines import NOON, check, market
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick, until

DAY = "2025-03-20T"
#: Each key belongs to a different one of three partitions.
KEYS = (b"0", b"1", b"4")


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap, partitions=3)


def scatter(pipeline: Pipeline, ticks: list[dict[str, Any]], seed: int = 1) -> None:
    """Send each tick with a random key."""
    chance = random.Random(seed)
    sender = Sender(pipeline.config)
    for scattered in ticks:
        key = str(chance.random()).encode()
        sender.send(pipeline.topics.ticks, [key], [json.dumps(scattered).encode()])
    assert sender.flush(30) == 0


def loops(pipeline: Pipeline, **settings: Any) -> tuple[Loop[OutgoingBatch], Loop[ParsedBatch]]:
    """The loop that rekeys ticks, and the loop that makes candles of them."""
    admin = Admin(pipeline.config)
    admin.ensure([contract.by_series_spec(pipeline.topic_settings, pipeline.partitions)], 1)
    stage_settings = replace(pipeline.settings, **settings)
    source = tick_topics(pipeline.config, pipeline.topics, admin)
    target = replace(pipeline.topics, ticks=pipeline.topics.by_series)
    keyed = tick_topics(pipeline.config, target, admin)
    return (
        rekey_loop(source, stage_settings, keyed.topic_id, pipeline.metrics),
        candle_loop(keyed, stage_settings, pipeline.metrics, source_topic=pipeline.topics.ticks),
    )


def work_off(pipeline: Pipeline, **settings: Any) -> None:
    for loop in loops(pipeline, until_end=True, **settings):
        loop.run(lambda: False)


def walk(count: int, series: int = 4) -> list[dict[str, Any]]:
    """Ticks in order of event time."""
    return [
        tick(
            (NOON + number * timedelta(seconds=1)).isoformat(),
            1 + number % 97 / 8,
            number,
            f"SYM{number % series}",
        )
        for number in range(count)
    ]


def test_scattered_series_are_refused_without_it(pipeline: Pipeline) -> None:
    scatter(pipeline, walk(50))
    with pytest.raises(SplitSeries, match="--rekey --rebuild"):
        pipeline.work_off()


def test_candles_are_those_of_ticks_that_were_keyed(pipeline: Pipeline) -> None:
    ticks = walk(2_000)
    scatter(pipeline, ticks)
    work_off(pipeline)
    same_candles(pipeline.candles(), batch_candles(ticks))
    keyed = pipeline.records(pipeline.topics.by_series)
    assert len({m.key() for m in keyed}) == 4
    assert {m.key(): m.partition() for m in keyed}.items() == {
        (m.key(), m.partition()) for m in keyed
    }


def test_values_timestamps_and_headers_do_not_change(pipeline: Pipeline) -> None:
    scatter(pipeline, walk(20))
    work_off(pipeline)
    before = {
        (m.partition(), m.offset()): (m.value(), m.timestamp()[1])
        for m in pipeline.records(pipeline.topics.ticks)
    }
    after = {}
    for message in pipeline.records(pipeline.topics.by_series):
        headers = dict(message.headers() or ())
        position = (int(headers["rekeyedPartition"] or 0), int(headers["rekeyedOffset"] or 0))
        after[position] = (message.value(), message.timestamp()[1])
    assert after == before


def test_rejected_records_are_as_the_producer_sent_them(pipeline: Pipeline) -> None:
    old = tick(DAY + "11:00:00", number=5, symbol="SYM0")
    scatter(pipeline, walk(900))
    work_off(pipeline)
    sender = Sender(pipeline.config)
    sender.send(pipeline.topics.ticks, [b"odd", b"key"], [json.dumps(old).encode(), b"{"])
    assert sender.flush(30) == 0
    work_off(pipeline)
    sent = {m.key(): m for m in pipeline.records(pipeline.topics.ticks)}
    [late] = pipeline.records(pipeline.topics.late)
    [dead] = pipeline.records(pipeline.topics.dead)
    for rejected, original in ((late, sent[b"odd"]), (dead, sent[b"key"])):
        headers = dict(rejected.headers() or ())
        assert (rejected.key(), rejected.value()) == (original.key(), original.value())
        assert rejected.timestamp()[1] == original.timestamp()[1]
        assert headers.keys() == {"error", "topic", "partition", "offset"}
        assert headers["topic"] == pipeline.topics.ticks.encode()
        assert (headers["partition"], headers["offset"]) == (
            str(original.partition()).encode(),
            str(original.offset()).encode(),
        )


def test_live_with_invalid_late_and_duplicate_ticks(pipeline: Pipeline) -> None:
    records = market(3, 3_000, 5)
    sender = Sender(pipeline.config)
    stop = threading.Event()
    first, second = loops(pipeline, emit_every=timedelta(milliseconds=20))
    running = threading.Thread(target=run_together, args=([first.run, second.run], stop.is_set))
    running.start()
    try:
        for number, (_, value) in enumerate(records):
            # Each record has its own key, and every partition keeps the order in time.
            sender.send(pipeline.topics.ticks, [str(number).encode()], [value])
            if number % 100 == 0:
                sender.flush(5)
        assert sender.flush(30) == 0

        def is_complete() -> bool:
            rejected = len(pipeline.records(pipeline.topics.dead, pipeline.topics.late))
            counted = int(pipeline.candles().filter(interval="m1")["volume"].sum())
            return rejected + counted + pipeline.counted("homma_ticks_duplicate") >= len(records)

        until(is_complete)
    finally:
        stop.set()
        running.join(60)
    keyed = len(pipeline.records(pipeline.topics.by_series))
    dead = len(pipeline.records(pipeline.topics.dead))
    assert keyed + dead == len(records)


def test_partitions_ahead_wait_for_the_others(pipeline: Pipeline) -> None:
    """Each partition has a third of a series' ticks of one hour: none is dropped as late."""
    ticks = walk(3_600, series=1)
    for third in range(3):
        sender = Sender(pipeline.config)
        # Each third has one key, and so one partition.
        values = [json.dumps(part).encode() for part in ticks[third::3]]
        sender.send(pipeline.topics.ticks, [KEYS[third]] * len(values), values)
        assert sender.flush(30) == 0
    assert {m.partition() for m in pipeline.records(pipeline.topics.ticks)} == {0, 1, 2}
    work_off(pipeline)
    assert pipeline.records(pipeline.topics.late) == []
    same_candles(pipeline.candles(), batch_candles(ticks))


def test_a_restart_continues_and_repeats_nothing(pipeline: Pipeline) -> None:
    ticks = walk(600)
    for third in range(3):
        scatter(pipeline, ticks[third * 200 : third * 200 + 200], seed=third)
        work_off(pipeline)
    assert len(pipeline.records(pipeline.topics.by_series)) == len(ticks)
    same_candles(pipeline.candles(), batch_candles(ticks))


def test_a_group_that_was_reset_is_refused(pipeline: Pipeline) -> None:
    scatter(pipeline, walk(100))
    work_off(pipeline)
    group = f"{pipeline.settings.group}-rekey"
    client = AdminClient(pipeline.config)
    # Members that have just left may still be in the group.
    until(lambda: client.delete_consumer_groups([group])[group].exception(10) is None)
    with pytest.raises(StateError, match=r"delete the topic .*_by_series and start with --rekey"):
        work_off(pipeline)


def test_a_rebuild_builds_the_candles_of_a_scattered_feed(pipeline: Pipeline) -> None:
    ticks = walk(300)
    pipeline.send(*ticks[:150])
    pipeline.work_off()
    scatter(pipeline, ticks[150:])
    with pytest.raises(StateError, match="--rebuild"):
        work_off(pipeline)
    work_off(pipeline, rebuild=True)
    same_candles(pipeline.candles(), batch_candles(ticks))
    check(pipeline)


def _fails(_stopped: Callable[[], bool]) -> None:
    raise StateError("problem", "remedy")


@pytest.mark.parametrize("failing", ["first", "second"])
def test_an_error_in_one_loop_stops_the_other(failing: str) -> None:
    # `until` raises its own error if it is not stopped.
    first, second = (_fails, until) if failing == "first" else (until, _fails)
    with pytest.raises(StateError, match="problem"):
        run_together([first, second], lambda: False)
