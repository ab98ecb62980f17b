"""A job on a cluster outlives homma, and homma submits it again after the cluster's end."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.flink.flinks import TIMEOUT_S, Flink, end
from tests.flink.session import session
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
DAY = "2025-03-20T"


def ticks(first: int, count: int) -> list[dict[str, object]]:
    return [
        tick(f"{DAY}14:{n:02}:10", float(n + 1), n, f"SYM{n % 3}")
        for n in range(first, first + count)
    ]


def count_minutes(flink: Flink) -> int:
    """The number of committed 1-minute candles."""
    records = flink.pipeline.records(flink.pipeline.topics.candles["m1"])
    return len({message.key() for message in records})


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_job_on_a_cluster_outlives_homma_and_the_cluster(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap, partitions=2)
    flink = Flink(pipeline, tmp_path / "home")
    checkpoint_file = (
        tmp_path / "home" / "flink" / f"{flink.group}-{pipeline.topics.ticks}" / "checkpoint"
    )
    with session(tmp_path / "cluster") as cluster:
        flink.rest = cluster.rest
        flags = ("--jobmanager", cluster.rest.address, "--checkpoints", str(tmp_path / "state"))
        pipeline.send(*ticks(0, 6))
        process = flink.start(*flags)
        try:
            flink.wait_until_running(process)
            kill(process)
            # homma no longer runs.
            until(lambda: count_minutes(flink) == 6, TIMEOUT_S)
            pipeline.send(*ticks(6, 6))
            until(lambda: count_minutes(flink) == 12, TIMEOUT_S)
            process = flink.start(*flags)
            until(checkpoint_file.exists, TIMEOUT_S)
            kill(process)
        finally:
            if process.poll() is None:
                end(process)
        # The job was not submitted again.
        overview = cluster.rest._request("/jobs/overview")
        assert [job["name"] for job in overview["jobs"]] == [flink.job], flink.log_text()
        cluster.kill()
        cluster.start()
        pipeline.send(*ticks(12, 6))
        flink.run_to_end(*flags)
        job = cluster.rest.job(flink.job)
        assert job is not None
        assert job.state == "FINISHED"
        plan = str(cluster.rest._request(f"/jobs/{job.job_id}/plan"))
    assert flink.log_text().count("starting Flink from the oldest tick in Kafka") == 1, (
        flink.log_text()
    )
    same_candles(flink.pipeline.candles(), batch_candles(ticks(0, 18)))
    # Flink knows that highs only rise and knows the keys of candles: it keeps no values.
    assert plan.count("GlobalGroupAggregate(") == 12
    assert plan.count("Deduplicate(") == 1
    assert not any(word in plan for word in ("MIN_RETRACT", "MAX_RETRACT", "Materialize"))
