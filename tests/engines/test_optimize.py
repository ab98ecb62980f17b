"""Trino makes large files of small ones while `homma land` commits each second."""

import uuid
from pathlib import Path

import pytest
from trino.exceptions import TrinoQueryError

from tests.aggregate.pipeline import Pipeline
from tests.engines.conftest import Query
from tests.faults.engines import Feed, market
from tests.lake.sinks import Sinks

pytestmark = pytest.mark.stack
TICKS = "stock_ticks_iceberg"
MINUTES = "candle_1min_iceberg"
#: What is optimized: rows that `land` replaces at every commit are not worth it.
CLOSED = {TICKS: "", MINUTES: "WHERE is_final", "candle_1hour_iceberg": "WHERE is_final"}
FEED_S = 30.0


def test_optimize_beside_land_loses_nothing(
    query: Query, bootstrap: str, lake: dict[str, str], tmp_path: Path
) -> None:
    namespace = "n" + uuid.uuid4().hex[:10]
    pipeline = Pipeline(bootstrap, partitions=2)
    done = dict.fromkeys(CLOSED, 0)
    refused = []
    with Sinks(pipeline, lake, namespace, tmp_path) as sinks:
        sink = sinks.start("--commit-every", "1s")
        records = market(5, 12_000, 8)
        with pipeline.running(), Feed(pipeline, records, FEED_S) as feed:
            while feed.sent < len(records):
                for name, which in CLOSED.items():
                    try:
                        query(f"ALTER TABLE {namespace}.{name} EXECUTE optimize {which}")
                    except TrinoQueryError as error:
                        refused.append(f"{name}: {error.message}")
                    else:
                        done[name] += 1
        assert sink.process.poll() is None, sink.said()
        sink.ask()
        assert sink.process.wait(60) == 0, sink.said()
        pipeline.work_off()
        sinks.work_off()
        assert sinks.check() > 0
        for name in CLOSED:
            snapshots = f'{namespace}."{name}$snapshots"'
            [[rewritten]] = query(f"SELECT count(*) FROM {snapshots} WHERE operation = 'replace'")
            assert rewritten > 0, (done, refused)
