"""Topics into tables, with the real servers."""

from pathlib import Path

import pytest

from tests.aggregate.pipeline import Pipeline
from tests.faults.engines import Feed, market
from tests.lake.sinks import Sinks


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap, partitions=2), lake, namespace, tmp_path)


def test_ticks_and_candles_are_landed_and_corrected(sinks: Sinks) -> None:
    records = market(1, 20_000, 8)
    for part in (records[:9_000], records[9_000:9_100], records[9_100:]):
        with Feed(sinks.pipeline, part, 0) as feed:
            feed.join()
        sinks.pipeline.work_off()
        sinks.work_off()
        assert sinks.check() > 0
