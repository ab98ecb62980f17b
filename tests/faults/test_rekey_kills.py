"""Scattered series under kills: keyed anew exactly once."""

import random
import time
from pathlib import Path

import pytest

from homma.errors import KafkaError
from tests.aggregate.pipeline import Pipeline, until
from tests.faults.engines import Engines, Feed, Watch, check, market

KILLS = 5


def sent_on(pipeline: Pipeline) -> int:
    """How many ticks have left the topic they were sent to."""
    try:
        return len(pipeline.records(pipeline.topics.by_series, pipeline.topics.dead))
    except KafkaError:
        return 0  # the topic is not there yet


@pytest.mark.parametrize("seed", [1])
def test_kills_neither_lose_nor_repeat_a_tick(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap, partitions=2)
    # Without keys the producer puts them anywhere.
    records = [(None, value) for _, value in market(seed, 4_000, 6)]
    with Watch(pipeline), Engines(pipeline, tmp_path) as engines:
        engine = engines.start("--rekey")
        with Feed(pipeline, records, 20):
            until(lambda: sent_on(pipeline) > 0)
            for _ in range(KILLS):
                time.sleep(chance.uniform(0, 4))
                engine.kill()
                engine = engines.start("--rekey")
        until(lambda: sent_on(pipeline) == len(records))
        engine.stop()
        last = engines.start("--rekey", "--until-end")
        assert last.process.wait(60) == 0, last.said()
    check(pipeline, rekeyed=True)
