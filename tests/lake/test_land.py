"""`homma land` with real servers."""

from pathlib import Path

import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.lake.schema import candle_tables
from tests.support.candle_rows import MINUTES
from tests.support.engines import Feed, market
from tests.support.pipeline import Pipeline
from tests.support.sinks import Sinks, at_work, until


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


def test_candles_are_handed_over_and_taken_back(sinks: Sinks) -> None:
    with Feed(sinks.pipeline, market(2, 2_000, 4), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off(candles_by="trino")
    assert sinks.check_ticks() > 0
    for spec in candle_tables(DEFAULT_CALENDAR):
        table = sinks.table(spec.name)
        assert table.properties["homma.sink"] == "trino"
        assert '"next": {}' in table.properties["homma.offsets"]
        assert sinks.rows(spec.name).is_empty()
    snapshots = len(sinks.table(MINUTES.name).snapshots())
    sinks.work_off(candles_by="trino")
    assert len(sinks.table(MINUTES.name).snapshots()) == snapshots
    sinks.work_off()
    assert sinks.check() > 0
    assert sinks.table(MINUTES.name).properties["homma.sink"] != "trino"


def test_a_candle_sink_ends_when_candles_are_handed_over(sinks: Sinks) -> None:
    with at_work(sinks) as feed:
        sink = sinks.start()
        until(lambda: sinks.landed_offsets() > 1_000)
        sinks.work_off(candles_by="trino")
        status = sink.process.wait(120)
        feed.stop()
    assert status == 1
    assert "another sink has taken over" in sink.output()
