"""The engine is killed at each step of its work, and a successor starts at once."""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from homma.cli.options import FAILPOINT
from homma.failpoint import Step
from tests.faults.failpoints import RESTORE, SHORT, TRANSACTION, WAKING, by_turns
from tests.support.engines import SUCCESSOR, at_work, check, market
from tests.support.pipeline import Pipeline
from tests.support.sinks import LAND


def test_every_step_is_covered() -> None:
    assert {*TRANSACTION, *RESTORE, *WAKING} == set(Step) - LAND


@pytest.mark.parametrize("seed", [1])
def test_killed_in_a_transaction_or_a_restore(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap, partitions=2)
    records = market(seed, 40_000, 8)
    # During a restore twice in a row, with no progress in between.
    kills = [
        *((f"{step}:{chance.randint(1, 20)}",) for step in TRANSACTION * 2),
        *((f"{step}:1", f"{chance.choice(RESTORE)}:2") for step in RESTORE),
    ]
    chance.shuffle(kills)
    with at_work(pipeline, tmp_path, records, 400) as (engines, feed, progress):
        first = engines.start(*SUCCESSOR)
        progress.reach(100)
        first.kill()
        for failpoint in (point for points in kills for point in points):
            engines.start(*SUCCESSOR, env={FAILPOINT: failpoint}).wait_killed()
            print(failpoint)
        last = engines.start(*SUCCESSOR)
        progress.reach(feed.stop())
        last.stop()
    check(pipeline)


@pytest.mark.parametrize("seed", [1])
def test_killed_while_a_dormant_series_wakes(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap)
    records = by_turns(market(seed, 100_000, 5), 5, 500)
    # The first batch wakes all dormant series, so each failpoint is reached only once.
    kills = chance.sample(WAKING, 2) * 2
    with at_work(pipeline, tmp_path, records, 200) as (engines, feed, progress):
        first = engines.start(*SUCCESSOR, *SHORT)
        progress.reach(500)
        first.kill()
        for failpoint in kills:
            engines.start(*SUCCESSOR, *SHORT, env={FAILPOINT: failpoint}).wait_killed()
            print(failpoint)
        last = engines.start(*SUCCESSOR, *SHORT)
        progress.reach(feed.stop())
        last.stop()
    check(pipeline, timedelta(seconds=1))
