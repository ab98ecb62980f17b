"""Trino makes large files of small ones while `homma land` commits each second."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from trino.exceptions import TrinoUserError

from tests.aggregate.pipeline import Pipeline
from tests.engines.conftest import Query
from tests.faults.engines import Feed, market
from tests.lake.sinks import Sinks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900), pytest.mark.xdist_group("trino")]


@dataclass(frozen=True)
class Case:
    """A table, what of it is put together, and whether ticks are late there."""

    table: str
    where: str
    spoiled: bool


CASES = [
    Case("stock_ticks_iceberg", "", spoiled=True),
    # Open candles are not worth it: `land` replaces them at every commit. Where it corrects final
    # ones all the time as well, it leaves a single file each time, and nothing to be put together.
    Case("candle_1min_iceberg", " WHERE is_final", spoiled=False),
]
ROUNDS = 3
RECORDS = 60_000
#: Longer than the rounds take anywhere.
FEED_S = 600.0
NOT_YET = ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.table)
def test_optimize_beside_land_loses_nothing(
    query: Query, bootstrap: str, lake: dict[str, str], tmp_path: Path, case: Case
) -> None:
    namespace = "n" + uuid.uuid4().hex[:10]
    pipeline = Pipeline(bootstrap, partitions=2)
    seen: set[int] = set()

    def rewritten() -> int:
        """How often Trino has put files together; not while there is no table yet."""
        snapshots = f'{namespace}."{case.table}$snapshots"'
        try:
            query(f"ALTER TABLE {namespace}.{case.table} EXECUTE optimize{case.where}")
        except TrinoUserError as error:
            if error.error_name in NOT_YET:
                return 0
            raise
        found = query(f"SELECT snapshot_id FROM {snapshots} WHERE operation = 'replace'")
        seen.update(snapshot for (snapshot,) in found)
        return len(seen)

    with Sinks(pipeline, lake, namespace, tmp_path) as sinks:
        sink = sinks.start("--commit-every", "1s", "--tidy-every", "1000")
        records = market(5, RECORDS, 8, spoiled=case.spoiled)
        with pipeline.running(), Feed(pipeline, records, FEED_S) as feed:
            while rewritten() < ROUNDS:
                assert feed.sent < RECORDS
            feed.stop()
        sink.ask()
        assert sink.process.wait(120) == 0, sink.said()
        pipeline.work_off()
        sinks.work_off()
        assert sinks.check() > 0
