"""Scattered series under kills: every tick is rekeyed exactly once."""

import random
import time
from pathlib import Path

import pytest

from homma.errors import KafkaError
from tests.support.engines import Engines, Feed, Watch, check, market
from tests.support.pipeline import Pipeline, until

KILLS = 5


def rekeyed(pipeline: Pipeline) -> int:
    """The number of ticks that have been rekeyed or refused."""
    try:
        return len(pipeline.records(pipeline.topics.by_series, pipeline.topics.dead))
    except KafkaError:
        return 0  # the topic does not exist yet


@pytest.mark.parametrize("seed", [1])
def test_kills_neither_lose_nor_repeat_a_tick(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap, partitions=2)
    # Without keys the producer spreads them over the partitions.
    records = [(None, value) for _, value in market(seed, 4_000, 6)]
    with Watch(pipeline), Engines(pipeline, tmp_path) as engines:
        engine = engines.start("--rekey")
        with Feed(pipeline, records, 20):
            until(lambda: rekeyed(pipeline) > 0)
            for _ in range(KILLS):
                time.sleep(chance.uniform(0, 4))
                engine.kill()
                engine = engines.start("--rekey")
        until(lambda: rekeyed(pipeline) == len(records))
        engine.stop()
        last = engines.start("--rekey", "--until-end")
        assert last.process.wait(60) == 0, last.output()
    check(pipeline, rekeyed=True)
