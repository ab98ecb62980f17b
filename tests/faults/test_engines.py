"""Engines that freeze, come, leave and die at work: the candles are as if nothing had happened."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.aggregate.pipeline import Pipeline
from tests.faults.engines import at_work, check, market


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_frozen_engine_that_wakes_is_fenced(
    bootstrap: str, tmp_path: Path, partitions: int
) -> None:
    pipeline = Pipeline(bootstrap, partitions)
    records = market(1, 8_000, 6)
    with at_work(pipeline, tmp_path, records, 20) as (engines, feed, progress):
        zombie = engines.start()
        progress.reach(200)
        zombie.send(signal.SIGSTOP)
        frozen_at = progress.committed()
        other = engines.start()
        # It works on, beyond what the frozen one may have had in hand.
        progress.reach(frozen_at + 500)
        zombie.send(signal.SIGCONT)
        feed.join()
        progress.reach(len(records))
        assert "assigned" in other.said()
        if zombie.process.poll() is None:
            zombie.stop()
        else:
            zombie.ended_with_a_sentence()
        other.stop()
    check(pipeline)


@pytest.mark.parametrize("seed", [1])
def test_engines_come_leave_and_die_under_load(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap, partitions=4)
    records = market(seed, 12_000, 16)
    with at_work(pipeline, tmp_path, records, 20) as (engines, feed, progress):
        here = [engines.start()]
        progress.reach(100)
        moves = ["join", "join", "leave", "kill", "join"]
        chance.shuffle(moves)
        for move in moves:
            time.sleep(chance.uniform(0, 3))
            if move == "join" or len(here) == 1:
                here.append(engines.start())
            if move != "join":
                gone = here.pop(chance.randrange(len(here)))
                gone.kill() if move == "kill" else gone.stop()
            print(move, progress.committed())
        feed.join()
        progress.reach(len(records))
        for engine in here:
            assert engine.process.poll() is None
            engine.stop()
    check(pipeline)


@pytest.mark.parametrize("seed", [1])
def test_kills_at_random_moments_change_nothing(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap, partitions=2)
    records = market(seed, 8_000, 6)
    with at_work(pipeline, tmp_path, records, 20) as (engines, feed, progress):
        engine = engines.start()
        progress.reach(1)
        for _ in range(6):
            time.sleep(chance.uniform(0, 5))
            engine.kill()
            print(progress.committed())
            engine = engines.start()
        feed.join()
        progress.reach(len(records))
        engine.stop()
    check(pipeline)
