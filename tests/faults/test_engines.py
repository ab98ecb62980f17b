"""Engines freeze, join, leave and die while they work: the candles stay the same."""

import random
import signal
import time
from itertools import islice
from pathlib import Path

import pytest

from tests.faults.recovery import Commits, pauses, takeovers
from tests.faults.schedule import SHORT, with_pauses
from tests.support.engines import at_work, check, flow, market
from tests.support.pipeline import Pipeline


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
        successor = engines.start()
        # It gets past the ticks that the frozen engine may still process.
        progress.reach(frozen_at + 500)
        zombie.send(signal.SIGCONT)
        feed.join()
        progress.reach(len(records))
        assert "assigned" in successor.output()
        if zombie.process.poll() is None:
            zombie.stop()
        else:
            zombie.wait_failed()
        successor.stop()
    check(pipeline)


@pytest.mark.parametrize("seed", [1])
def test_engines_join_leave_and_die_under_load(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap, partitions=4)
    records = market(seed, 12_000, 16)
    with (
        Commits(pipeline) as commits,
        at_work(pipeline, tmp_path, records, 20) as (engines, feed, progress),
    ):
        running = [engines.start()]
        progress.reach(100)
        moves = ["join", "join", "leave", "kill", "join"]
        chance.shuffle(moves)
        for move in moves:
            time.sleep(chance.uniform(0, 3))
            if move == "join" or len(running) == 1:
                running.append(engines.start())
            if move != "join":
                engine = running.pop(chance.randrange(len(running)))
                engine.kill() if move == "kill" else engine.stop()
            print(move, progress.committed())
        feed.join()
        progress.reach(len(records))
        for engine in running:
            assert engine.process.poll() is None
            engine.stop()
    check(pipeline)
    durations = pauses(takeovers(engines.all), commits.advances, [])
    assert durations
    print(
        "pauses of moved partitions, seconds:", sorted(round(duration, 1) for duration in durations)
    )


@pytest.mark.parametrize("seed", [1])
def test_kills_at_random_moments_change_nothing(bootstrap: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(bootstrap, partitions=2)
    # Series that pause for longer than the allowed lateness are dormant at a takeover.
    late_by = SHORT.allowed_lateness / 2
    steady = flow(seed, 6, allowed_lateness=SHORT.allowed_lateness)
    pausing = with_pauses(steady, seed, late_by, series=4, every=800)
    records = list(islice(pausing, 10_000))
    with at_work(pipeline, tmp_path, records, 25) as (engines, feed, progress):
        engine = engines.start(*SHORT.flags)
        for at_work_first in (True, False, True, False):
            if at_work_first:
                progress.reach(progress.committed() + 1)
            time.sleep(chance.uniform(0, 5))
            engine.kill()
            print(progress.committed())
            engine = engines.start(*SHORT.flags)
        feed.join()
        progress.reach(len(records))
        engine.stop()
    check(pipeline, SHORT.allowed_lateness)
