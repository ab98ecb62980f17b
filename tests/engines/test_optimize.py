"""Trino makes large files of small ones while `homma land` commits each second."""

import uuid
from collections import Counter
from pathlib import Path

import pytest
from trino.exceptions import TrinoExternalError, TrinoUserError

from tests.aggregate.pipeline import Pipeline
from tests.engines.conftest import Query
from tests.faults.engines import Feed, market
from tests.lake.sinks import Sinks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900), pytest.mark.xdist_group("trino")]
#: Tables, and what of them. Open candles are not worth it: `land` replaces them at every commit.
REWRITTEN = {"stock_ticks_iceberg": "", "candle_1min_iceberg": " WHERE is_final"}
ROUNDS = 3
RECORDS = 60_000
#: Longer than the rounds take anywhere.
FEED_S = 600.0
NOT_YET = ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND")
#: A correction has replaced a file that was just being put together with others.
OVERTAKEN = "ICEBERG_COMMIT_ERROR"


def test_optimize_beside_land_loses_nothing(
    query: Query, bootstrap: str, lake: dict[str, str], tmp_path: Path
) -> None:
    namespace = "n" + uuid.uuid4().hex[:10]
    pipeline = Pipeline(bootstrap, partitions=2)

    def rewritten(name: str) -> bool:
        """Whether Trino has put files together; not while there is no table yet."""
        try:
            query(f"ALTER TABLE {namespace}.{name} EXECUTE optimize{REWRITTEN[name]}")
        except TrinoUserError as error:
            if error.error_name in NOT_YET:
                return False
            raise
        except TrinoExternalError as error:
            print(name, error)
            if error.error_name == OVERTAKEN:
                return False
            raise
        return ("replace",) in query(f'SELECT operation FROM {namespace}."{name}$snapshots"')

    with Sinks(pipeline, lake, namespace, tmp_path) as sinks:
        sink = sinks.start("--commit-every", "1s")
        with pipeline.running(), Feed(pipeline, market(5, RECORDS, 8), FEED_S) as feed:
            done: Counter[str] = Counter()
            while any(done[name] < ROUNDS for name in REWRITTEN):
                for name in REWRITTEN:
                    done[name] += rewritten(name)
                print(done)
                assert feed.sent < RECORDS
            feed.stop()
        sink.ask()
        assert sink.process.wait(120) == 0, sink.said()
        pipeline.work_off()
        sinks.work_off()
        assert sinks.check() > 0
