"""1.1 million real quotes through Flink equal another vendor's bars, even after kill -9."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.flink.flinks import TIMEOUT_S, Flink, end
from tests.support.pipeline import Pipeline, batch_candles, same_candles, until
from tests.support.real_ticks import ALL_BARS, disturbed, equal_bars, needs_real_ticks, real_ticks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3600)]
FOUR_MINUTES_US = 240_000_000
# The users' default. The other tests keep state in the heap, which starts faster.
FLAGS = ("--price", "bid", "--state-backend", "rocksdb")


def jvm(pid: int) -> psutil.Process:
    """The Flink JVM of a homma process."""
    [java] = [p for p in psutil.Process(pid).children(recursive=True) if p.name() == "java"]
    return java


def last_checkpoint_ms(flink: Flink) -> int:
    """When the running job's newest checkpoint was triggered; 0 without a checkpoint."""
    job = flink.rest.job(flink.job)
    checkpoint = None if job is None else flink.rest.checkpoint(job.job_id)
    return 0 if checkpoint is None else checkpoint.triggered_ms


def wait_for_checkpoint(flink: Flink, process: subprocess.Popen[bytes]) -> None:
    """Wait until a job is running and has completed a new checkpoint."""
    flink.wait_until_running(process)
    before = last_checkpoint_ms(flink)
    until(lambda: last_checkpoint_ms(flink) > before, TIMEOUT_S)


@needs_real_ticks
def test_candles_equal_the_vendors_bars_across_kills(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    ticks = real_ticks()
    pipeline.send_frame(disturbed(ticks, FOUR_MINUTES_US, 0.01, seed=3))
    flink = Flink(pipeline, tmp_path / "home")
    process = flink.start(*FLAGS)
    try:
        wait_for_checkpoint(flink, process)
        java = jvm(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # The guard ends the JVM.
        java.wait(TIMEOUT_S)
        process = flink.start(*FLAGS, "--until-end")
        wait_for_checkpoint(flink, process)
        # homma restarts Flink, which processes the rest.
        jvm(process.pid).kill()
        assert process.wait(TIMEOUT_S) == 0, flink.log_text()
    finally:
        if process.poll() is None:
            end(process)
    log = flink.log_text()
    assert "restarting Flink in" in log
    assert log.count("starting Flink from file:") == 2, log
    candles = flink.pipeline.candles()
    assert equal_bars(candles, "bid") == ALL_BARS
    same_candles(candles, batch_candles(ticks, "bid"))
