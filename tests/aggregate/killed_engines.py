"""Engines that are killed one after the other, while they work."""

import signal
import time

from homma.topics.kafka.reading import GroupOffsets
from tests.support.pipeline import Pipeline

KILLS = 5


def kill_engines(pipeline: Pipeline, ticks: int, price: str) -> None:
    """Start five engines for the ticks sent, and kill -9 each while it works."""
    offsets = GroupOffsets(pipeline.config, pipeline.settings.group, pipeline.topics.ticks)

    def committed() -> int:
        state = offsets.committed(0)
        return state.offset if state else 0

    killed_at = [0]
    for kill in range(1, KILLS + 1):
        process = pipeline.process("--emit-every", "50ms", "--price", price)
        try:
            while committed() < kill * ticks // (KILLS + 2):
                assert process.poll() is None, "the engine exited on its own"
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed_at.append(committed())
    offsets.close()
    # Each kill hit a working engine, further ahead than the last one.
    assert killed_at == sorted(set(killed_at))
    assert killed_at[-1] < ticks
