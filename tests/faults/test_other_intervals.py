"""Engines of seconds and minutes, without months: kills, rebalances and dormant series."""

import random
import time
from datetime import timedelta
from pathlib import Path

import pytest

from homma.cli.options import FAILPOINT
from homma.core.calendar import calendar_of
from tests.faults.failpoints import RESTORE, SHORT, TRANSACTION, WAKING, by_turns
from tests.support.engines import SUCCESSOR, at_work, check, market
from tests.support.pipeline import Pipeline


@pytest.mark.parametrize("codes", ["s1,m1", "s10,s15,m20,m30"])
def test_kills_and_rebalances_change_nothing(bootstrap: str, tmp_path: Path, codes: str) -> None:
    chance = random.Random(codes)
    pipeline = Pipeline(bootstrap, partitions=2, calendar=calendar_of(codes.split(",")))
    # Each series is idle most of the time, so that it is dormant at many restarts.
    records = by_turns(market(5, 60_000, 5), 5, 500)
    steps = [*TRANSACTION, *chance.sample(RESTORE, 2), *WAKING]
    chance.shuffle(steps)
    with at_work(pipeline, tmp_path, records, 120) as (engines, feed, progress):
        first = engines.start(*SUCCESSOR, *SHORT)
        progress.reach(500)
        first.kill()
        for step in steps:
            killed = engines.start(*SUCCESSOR, *SHORT, env={FAILPOINT: step})
            killed.wait_killed()
        running = [engines.start(*SHORT)]
        for _ in range(2):
            running.append(engines.start(*SHORT))
            time.sleep(chance.uniform(1, 4))
            engine = running.pop(0)
            engine.kill() if chance.random() < 0.5 else engine.stop()
        progress.reach(feed.stop())
        for engine in running:
            engine.stop()
    check(pipeline, timedelta(seconds=1))
