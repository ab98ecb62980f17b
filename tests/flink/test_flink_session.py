"""A job that is handed to a cluster: it outlives homma, and homma brings it back after its end."""

import signal
import subprocess
from pathlib import Path

import pytest

from homma.core.interval import FINEST
from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, tick, until
from tests.flink.flinks import PATIENCE_S, Flink, end
from tests.flink.session import session

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
DAY = "2025-03-20T"


def ticks(first: int, count: int) -> list[dict[str, object]]:
    return [
        tick(f"{DAY}14:{n:02}:10", float(n + 1), n, f"SYM{n % 3}")
        for n in range(first, first + count)
    ]


def minutes(flink: Flink) -> int:
    """How many 1-minute candles are committed."""
    records = flink.pipeline.records(flink.pipeline.topics.candles[FINEST])
    return len({message.key() for message in records})


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_job_on_a_cluster_outlives_homma_and_the_cluster(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap, partitions=2)
    flink = Flink(pipeline, tmp_path / "home")
    noted = tmp_path / "home" / "flink" / f"{flink.group}-{pipeline.topics.ticks}" / "checkpoint"
    with session(tmp_path / "cluster") as cluster:
        flink.rest = cluster.rest
        flags = ("--jobmanager", cluster.rest.address, "--checkpoints", str(tmp_path / "state"))
        pipeline.send(*ticks(0, 6))
        process = flink.start(*flags)
        try:
            flink.until_working(process)
            kill(process)
            # Nothing of homma runs now.
            until(lambda: minutes(flink) == 6, PATIENCE_S)
            pipeline.send(*ticks(6, 6))
            until(lambda: minutes(flink) == 12, PATIENCE_S)
            process = flink.start(*flags)
            until(noted.exists, PATIENCE_S)
            kill(process)
        finally:
            if process.poll() is None:
                end(process)
        # It was not handed over a second time.
        found = cluster.rest._ask("/jobs/overview")
        assert [job["name"] for job in found["jobs"]] == [flink.job], flink.said()
        cluster.kill()
        cluster.start()
        pipeline.send(*ticks(12, 6))
        flink.work_off(*flags)
        job = cluster.rest.job(flink.job)
        assert job is not None
        assert job.state == "FINISHED"
        plan = str(cluster.rest._ask(f"/jobs/{job.number}/plan"))
    assert flink.said().count("starting Flink, from the oldest tick kept") == 1
    same_candles(flink.pipeline.candles(), batch_candles(ticks(0, 18)))
    # Flink knows that highs only rise, and what the key of a candle is: no values are kept.
    assert plan.count("GlobalGroupAggregate(") == 12
    assert plan.count("Deduplicate(") == 1
    assert not any(word in plan for word in ("MIN_RETRACT", "MAX_RETRACT", "Materialize"))
