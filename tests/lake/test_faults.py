"""Faults between the sink and the lake, and the content of the lake afterwards."""

import os
import random
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.errors import HommaError
from homma.lake.schema import tables
from homma.lake.table import Lake, Where
from homma.stack.processes.process import State
from tests.lake import proxy
from tests.lake.proxy import Effect, Fault, Way
from tests.support import weed
from tests.support.pipeline import Pipeline
from tests.support.pipeline import until as wait_until
from tests.support.sinks import Sinks, at_work, until

#: Requests, and the faults that happen to them.
FAULTS = [
    (pattern, effect) for pattern in (proxy.COMMIT, proxy.DATA, proxy.MANIFEST) for effect in Effect
] + [(proxy.LOOK, Effect.ERROR), (proxy.LOOK, Effect.LOSE_ANSWER)]

MINUTE_S = 60.0
#: Number of kills of the servers.
KILLS = 4
#: Frequent maintenance, which deletes orphaned files at once.
MAINTAIN = ("--maintain-every", "2", "--orphan-retention", "0ms")


def test_each_tick_is_landed_once_whatever_fails(sinks: Sinks, way: Way) -> None:
    chance = random.Random(1)
    faults = chance.sample(FAULTS, len(FAULTS))
    with at_work(sinks), sinks.running(way.properties):
        for pattern, effect in faults:
            fault = way.faults.plan(Fault(pattern, effect, nth=chance.randint(1, 15)))
            if pattern == proxy.LOOK:
                # The sink only reloads the table after an unclear error.
                fault.nth = 1
                way.faults.plan(Fault(proxy.COMMIT, Effect.LOSE_ANSWER))
            until(fault.struck.is_set)
            if effect is Effect.HOLD:
                # Longer than the timeout: the request arrives after the sink has continued.
                wait_for_commits(sinks)
                fault.released.set()
        wait_for_commits(sinks)
    assert sinks.commits("unknown") >= 5
    sinks.work_off()
    assert sinks.check() > 0


def wait_for_commits(sinks: Sinks) -> None:
    """Wait until the sink commits again, to more than one table."""
    before = sinks.commits()
    until(lambda: sinks.commits() > before + 12)


def test_catalog_and_storage_are_unreachable_for_a_while(sinks: Sinks, way: Way) -> None:
    def troubles() -> float:
        return sinks.commits("unknown") + sinks.commits("unreachable")

    with at_work(sinks), sinks.running(way.properties):
        for pattern in (r"\S+ /v1/", r"PUT ", r"\S+ /"):
            wait_for_commits(sinks)
            before = troubles()
            with way.away(pattern):
                until(partial(lambda least: troubles() > least, before + 2))
        wait_for_commits(sinks)
    sinks.work_off()
    assert sinks.check() > 0


@pytest.mark.stack
def test_the_catalog_is_unreachable_for_a_minute(sinks: Sinks, way: Way) -> None:
    with at_work(sinks) as feed:
        sink = sinks.start(through=way.properties)
        until(lambda: sinks.landed_offsets() > 0)
        with way.away():
            time.sleep(MINUTE_S)
        sent = feed.sent
        # Within another minute the sink has caught up.
        wait_until(lambda: sinks.landed_offsets() >= sent, timeout_s=MINUTE_S)
        sink.stop()
    assert "failed (" in sink.output()
    sinks.work_off()
    assert sinks.check() > 0


@pytest.mark.stack
def test_catalog_and_storage_are_killed_during_commits(
    bootstrap: str, namespace: str, tmp_path: Path
) -> None:
    chance = random.Random(5)
    with (
        weed.restartable(tmp_path / "weed") as (server, process, _),
        Sinks(Pipeline(bootstrap, 2), server.properties, namespace, tmp_path) as sinks,
    ):
        with at_work(sinks):
            sink = sinks.start(*MAINTAIN)
            for kill in range(1, KILLS + 1):
                before = sinks.landed_offsets()
                until(lambda: sinks.landed_offsets() > before)  # noqa: B023
                time.sleep(chance.uniform(0, 1))
                assert process.status.pid is not None
                os.kill(process.status.pid, signal.SIGKILL)
                until(lambda: process.status.restarts == kill)  # noqa: B023
                wait_until(lambda: process.status.state is State.RUNNING, timeout_s=MINUTE_S)
            before = sinks.landed_offsets()
            wait_until(lambda: sinks.landed_offsets() > before, timeout_s=MINUTE_S)
            sink.stop()
        sinks.work_off()
        assert sinks.check() > 0


def test_another_engine_rewrites_files_while_the_sink_commits(sinks: Sinks) -> None:
    rewritten = 0

    def rewrite(stop: threading.Event) -> None:
        nonlocal rewritten
        other = Lake(sinks.properties, sinks.namespace)
        specs = {spec.name: spec for spec in tables(DEFAULT_CALENDAR)}
        while not stop.is_set():
            for name in ("stock_ticks_iceberg", "candle_1min_iceberg", "candle_1day_iceberg"):
                try:
                    table = other.table(specs[name])
                    parts = table.parts(Where(final=True) if name[0] == "c" else Where())
                    if len(parts) > 1:
                        table.commit(table.upload(table.read(parts)), parts)
                        rewritten += 1
                except HommaError:
                    # The sink was faster: try again, like an engine.
                    continue
        other.close()

    stop = threading.Event()
    thread = threading.Thread(target=rewrite, args=(stop,))
    with at_work(sinks), sinks.running():
        thread.start()
        until(lambda: rewritten >= 5 and sinks.commits("refused") >= 5)
        stop.set()
        thread.join(60)
    sinks.work_off()
    assert sinks.check() > 0


def test_a_frozen_sink_that_resumes_ends_with_an_error(sinks: Sinks) -> None:
    with at_work(sinks):
        stale = sinks.start()
        until(lambda: sinks.landed_offsets() > 0)
        stale.freeze()
        with sinks.running():
            frozen_at = sinks.landed_offsets()
            until(lambda: sinks.landed_offsets() > frozen_at + 500)
            stale.thaw()
            sentence = stale.wait_failed()
            assert "another sink has taken over" in sentence
    sinks.work_off()
    assert sinks.check() > 0


def test_a_commit_that_arrives_after_another_sink_took_over(sinks: Sinks, way: Way) -> None:
    with at_work(sinks):
        late = sinks.start(through=way.properties)
        until(lambda: sinks.landed_offsets() > 0)
        fault = way.faults.plan(Fault(r"POST /v1/.*/tables/stock_ticks_iceberg ", Effect.HOLD))
        until(fault.struck.is_set)
        late.send(signal.SIGKILL)
        late.process.wait()
        with sinks.running():
            before = sinks.landed_offsets()
            until(lambda: sinks.landed_offsets() > before)
            fault.released.set()
            before = sinks.landed_offsets()
            until(lambda: sinks.landed_offsets() > before)
    sinks.work_off()
    assert sinks.check() > 0
