"""The engine is killed at each step of its work, and a successor starts at once."""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from homma.cli.options import FAILPOINT
from homma.failpoint import Step
from tests.support.engines import SUCCESSOR, Record, at_work, check, market
from tests.support.pipeline import Pipeline
from tests.support.sinks import LAND

TRANSACTION = (Step.BEGUN, Step.SENT, Step.OFFSET_ADDED, Step.COMMITTED)
RESTORE = (
    Step.TAKEN_OVER,
    Step.OFFSET_READ,
    Step.CANDLES_READ,
    Step.TICKS_RECALLED,
    Step.READY,
)
WAKING = (Step.WAKING_CANDLES_READ, Step.AWAKE)
#: With these, a series that is idle for a second is dormant after a restart.
SHORT = ("--allowed-lateness", "1s", "--max-future", "0ms", "--watermark-delay", "0ms")


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


def by_turns(records: list[Record], series: int, turn: int) -> list[Record]:
    """Drop ticks so that each series is idle most of the time."""
    of = {f"S:SYM{n}".encode(): n for n in range(series)}
    return [
        (key, value)
        for n, (key, value) in enumerate(records)
        if key is None or n // turn % series == of[key]
    ]


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
