"""Ingestion under kills, rebalances and a broker that dies: each record is forwarded once."""

import random
import time
from datetime import timedelta
from pathlib import Path

import pytest

from homma.cli.options import FAILPOINT
from homma.errors import KafkaError
from homma.failpoint import Step
from tests.faults.brokers import OwnBroker
from tests.faults.failpoints import TRANSACTION
from tests.support.engines import SUCCESSOR
from tests.support.ingesting import ForeignTopic, Ingestions, check, messages
from tests.support.pipeline import Pipeline, until

#: The steps of a restore that ingestion has.
RESTORE = (Step.TAKEN_OVER, Step.OFFSET_READ, Step.READY)


def forwarded(topic: ForeignTopic) -> int:
    """The number of ticks and dead letters."""
    pipeline = topic.pipeline
    try:
        return len(pipeline.records(pipeline.topics.ticks, pipeline.topics.dead))
    except KafkaError:
        return 0  # the broker restarts


def work_off(ingestions: Ingestions) -> None:
    """Let one more process finish, and check that each record was forwarded once."""
    last = ingestions.start("--until-end")
    assert last.process.wait(120) == 0, last.output()
    check(ingestions.topic)


@pytest.mark.parametrize("seed", [1])
def test_killed_at_each_step(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    topic = ForeignTopic(Pipeline(bootstrap, partitions=2))
    kills = [
        *(f"{step}:{chance.randint(1, 5)}" for step in TRANSACTION * 2),
        *(f"{step}:{chance.randint(1, 2)}" for step in RESTORE),
    ]
    chance.shuffle(kills)
    with Ingestions(topic, tmp_path) as ingestions:
        for number, failpoint in enumerate(kills):
            running = ingestions.start(*SUCCESSOR, env={FAILPOINT: failpoint})
            # Several transactions.
            for part in range(100):
                topic.send(messages(100 * number + part, 20))
                if running.process.poll() is not None:
                    break
            running.wait_killed()
            print(failpoint)
        work_off(ingestions)


@pytest.mark.parametrize("seed", [1])
def test_killed_at_any_time(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    topic = ForeignTopic(Pipeline(bootstrap, partitions=2))
    with Ingestions(topic, tmp_path) as ingestions:
        for kill in range(5):
            running = ingestions.start(*SUCCESSOR)
            topic.send(messages(kill, 2_000))
            running.kill_after(chance.uniform(0.5, 3))
        work_off(ingestions)


def test_partitions_move_between_processes(bootstrap: str, tmp_path: Path) -> None:
    topic = ForeignTopic(Pipeline(bootstrap, partitions=2), partitions=4)
    with Ingestions(topic, tmp_path) as ingestions:
        first = ingestions.start()
        topic.send(messages(1, 1_000))
        until(lambda: forwarded(topic) > 0)
        for seed in range(2, 4):
            other = ingestions.start()
            topic.send(messages(10 * seed, 1_000))
            until(lambda other=other: "continues at offset" in other.output())  # type: ignore[misc]
            topic.send(messages(10 * seed + 1, 1_000))
            other.stop()
        first.stop()
        work_off(ingestions)


def test_it_continues_after_its_broker_was_killed(broker: OwnBroker) -> None:
    topic = ForeignTopic(Pipeline(broker.address, partitions=2))
    with topic.running(emit_every=timedelta(milliseconds=20)) as ingestion:
        for kill in range(2):
            topic.send(messages(kill, 2_000))
            broker.kill()
            broker.wait_restarted(kill + 1)
        topic.send(messages(9, 2_000))
        before = 0
        # Until nothing is left: neither ticks nor dead letters come any more.
        while (now := forwarded(topic)) != before or now == 0:
            before = now
            time.sleep(5)
        assert ingestion.is_alive()
    topic.work_off()
    check(topic)
