"""1.1 million real quotes through Flink: another vendor's bars, also across kill -9."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, until
from tests.aggregate.test_real_ticks import ALL
from tests.flink.flinks import PATIENCE_S, Flink, end
from tests.real_ticks import disturbed, equal_bars, needs_real_ticks, real_ticks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3600)]
FOUR_MINUTES_US = 240_000_000
# The other tests hold state in the heap, as they start so often; this is what users have.
FLAGS = ("--price", "bid", "--state-backend", "rocksdb")


def jvm(pid: int) -> psutil.Process:
    """The Flink below a homma."""
    [found] = [p for p in psutil.Process(pid).children(recursive=True) if p.name() == "java"]
    return found


def checkpoints(flink: Flink) -> int:
    """How many the running job has completed."""
    job = flink.rest.job(flink.job)
    found = None if job is None else flink.rest.checkpoint(job.number)
    return 0 if found is None else found.begun_ms


def until_saved(flink: Flink, process: subprocess.Popen[bytes]) -> None:
    """Wait until a job has begun, and saved what it has come to."""
    flink.until_working(process)
    before = checkpoints(flink)
    until(lambda: checkpoints(flink) > before, PATIENCE_S)


@needs_real_ticks
def test_candles_equal_the_vendors_bars_across_kills(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    ticks = real_ticks()
    pipeline.send_frame(disturbed(ticks, FOUR_MINUTES_US, 0.01, seed=3))
    flink = Flink(pipeline, tmp_path / "home")
    process = flink.start(*FLAGS)
    try:
        until_saved(flink, process)
        java = jvm(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Its guard ends it.
        java.wait(PATIENCE_S)
        process = flink.start(*FLAGS, "--until-end")
        until_saved(flink, process)
        # Homma starts it again, and works off the rest.
        jvm(process.pid).kill()
        assert process.wait(PATIENCE_S) == 0, flink.said()
    finally:
        if process.poll() is None:
            end(process)
    said = flink.said()
    assert "Flink is started again" in said
    assert said.count("starting Flink, from file:") == 2, said
    candles = flink.pipeline.candles()
    assert equal_bars(candles, "bid") == ALL
    same_candles(candles, batch_candles(ticks, "bid"))
