"""The sink dies at each step of its work, or anywhere, and the next one goes on."""

import random

import pytest

from homma.cli.options import FAILPOINT
from homma.failpoint import Step
from tests.lake.sinks import LAND, Sinks, at_work, until

COMMIT = (Step.LANDING, Step.UPLOADED, Step.ASKING, Step.ANSWERED, Step.LANDED)
TIDYING = (Step.EXPIRED, Step.SWEEPING)
#: A table is tidied soon, and what no snapshot needs goes at once.
TIDY = ("--maintain-every", "2", "--orphan-retention", "0ms")

#: Longer than it takes from one kill to the next, on a machine that has much else to do.
PER_KILL_S = 120


def test_every_step_is_tried() -> None:
    # Putting files together takes hours of ticks: `test_maintenance` has it.
    assert {*COMMIT, *TIDYING, Step.COMPACTED} == LAND


def killed_at_each(sinks: Sinks, steps: list[str]) -> None:
    with at_work(sinks, lasts_s=PER_KILL_S * len(steps)):
        for step in steps:
            sinks.start(*TIDY, env={FAILPOINT: step}).died_there(240)
    sinks.work_off()
    assert sinks.check() > 0


def test_killed_at_each_step(sinks: Sinks) -> None:
    chance = random.Random(1)
    steps = [f"{step}:{chance.randint(1, 12)}" for step in COMMIT]
    steps += [f"{step}:{chance.randint(1, 3)}" for step in TIDYING]
    chance.shuffle(steps)
    killed_at_each(sinks, steps)


@pytest.mark.stack
@pytest.mark.timeout(1800)
def test_killed_at_each_step_again_and_again(sinks: Sinks) -> None:
    chance = random.Random(2)
    killed_at_each(sinks, [f"{step}:{chance.randint(1, 40)}" for step in (*COMMIT, *TIDYING) * 3])


def killed_anywhere(sinks: Sinks, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    with at_work(sinks, seed, PER_KILL_S * kills):
        for _ in range(kills):
            sink = sinks.start(*TIDY)
            before = sinks.held()
            until(lambda: sinks.held() > before)  # noqa: B023
            # Anywhere within a round or two.
            sink.die_after_s(chance.uniform(0, 1))
    sinks.work_off()
    assert sinks.check() > 0


def test_killed_anywhere(sinks: Sinks) -> None:
    killed_anywhere(sinks, 3, seed=3)


@pytest.mark.stack
@pytest.mark.timeout(1800)
def test_killed_anywhere_twenty_times(sinks: Sinks) -> None:
    killed_anywhere(sinks, 20, seed=4)
