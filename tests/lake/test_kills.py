"""The sink is killed at each step, or anywhere, and the next one continues."""

import random

import pytest

from homma.cli.options import FAILPOINT
from homma.failpoint import Step
from tests.support.sinks import LAND, Sinks, at_work, until

COMMIT = (Step.LANDING, Step.UPLOADED, Step.ASKING, Step.ANSWERED, Step.LANDED)
MAINTENANCE = (Step.EXPIRED, Step.SWEEPING)
#: Frequent maintenance, which deletes orphaned files at once.
MAINTAIN = ("--maintain-every", "2", "--orphan-retention", "0ms")

#: Longer than the time between two kills, on a busy machine.
PER_KILL_S = 120


def test_every_step_is_tried() -> None:
    # Compaction needs hours of ticks: see `test_maintenance`.
    assert {*COMMIT, *MAINTENANCE, Step.COMPACTED} == LAND


def kill_at_each(sinks: Sinks, steps: list[str]) -> None:
    with at_work(sinks, lasts_s=PER_KILL_S * len(steps)):
        for step in steps:
            sinks.start(*MAINTAIN, env={FAILPOINT: step}).wait_killed(240)
    sinks.work_off()
    assert sinks.check() > 0


def test_killed_at_each_step(sinks: Sinks) -> None:
    chance = random.Random(1)
    steps = [f"{step}:{chance.randint(1, 12)}" for step in COMMIT]
    steps += [f"{step}:{chance.randint(1, 3)}" for step in MAINTENANCE]
    chance.shuffle(steps)
    kill_at_each(sinks, steps)


@pytest.mark.stack
@pytest.mark.timeout(1800)
def test_killed_at_each_step_again_and_again(sinks: Sinks) -> None:
    chance = random.Random(2)
    kill_at_each(sinks, [f"{step}:{chance.randint(1, 40)}" for step in (*COMMIT, *MAINTENANCE) * 3])


def kill_anywhere(sinks: Sinks, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    with at_work(sinks, seed, PER_KILL_S * kills):
        for _ in range(kills):
            sink = sinks.start(*MAINTAIN)
            before = sinks.landed_offsets()
            until(lambda: sinks.landed_offsets() > before)  # noqa: B023
            # At any moment within one or two rounds.
            sink.kill_after(chance.uniform(0, 1))
    sinks.work_off()
    assert sinks.check() > 0


def test_killed_anywhere(sinks: Sinks) -> None:
    kill_anywhere(sinks, 3, seed=3)


@pytest.mark.stack
@pytest.mark.timeout(1800)
def test_killed_anywhere_twenty_times(sinks: Sinks) -> None:
    kill_anywhere(sinks, 20, seed=4)
