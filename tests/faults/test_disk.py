"""The broker's disk is full for a while."""

from pathlib import Path

from tests.faults.brokers import OwnBroker
from tests.support.engines import Feed, at_work, check, market
from tests.support.pipeline import Pipeline, until


def test_the_engine_waits_while_the_disk_is_full(broker: OwnBroker, tmp_path: Path) -> None:
    pipeline = Pipeline(broker.address, partitions=2)
    records = market(1, 6_000, 6)
    half = len(records) // 2
    with at_work(pipeline, tmp_path, records[:half], 5) as (engines, feed, progress):
        engine = engines.start()
        feed.join()
        progress.reach(100)
        # These ticks are written while the disk is full, however long the engine took to start.
        with Feed(pipeline, records[half:], 5), broker.full_disk():
            # Kafka exits at the first failed write, and again because the disk is still full.
            until(lambda: broker.process.status.restarts >= 2, timeout_s=240)
        assert "File too large" in (broker.folder / "out.log").read_text()
        progress.reach(len(records), within_s=120)
        engine.stop()
    check(pipeline)
