"""Trino reads the lake, by the settings that compose will mount, and puts small files together.

All that needs one is in this file: it is started once.
"""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psutil
import pytest
from pyiceberg.catalog import Catalog
from trino.exceptions import TrinoUserError

from homma.lake.schema import BY_NAME, TABLES, TICKS
from homma.lake.table import Lake
from tests.aggregate.pipeline import Pipeline
from tests.engines.conftest import NAMESPACE, ROOT, Query, append
from tests.engines.test_reading_the_lake import run, shown
from tests.faults.engines import Feed, market
from tests.lake.sinks import Sinks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", [table.name for table in TABLES])
def test_every_table_has_its_rows(query: Query, frames: dict[str, pl.DataFrame], name: str) -> None:
    found = query(f"SELECT * FROM {name}")
    assert len(found) == frames[name].height
    assert set(found) == set(frames[name].rows())


def test_the_columns_come_in_order_and_with_their_comments(
    query: Query, frames: dict[str, pl.DataFrame]
) -> None:
    for name in frames:
        told = query(f"DESCRIBE {name}")
        columns = [(column, comment) for column, _, _, comment in told]
        assert columns == [(column.name, column.comment) for column in BY_NAME[name].columns]


def test_a_commit_is_seen_by_the_next_query(
    query: Query, catalog: Catalog, lake: dict[str, str], frames: dict[str, pl.DataFrame]
) -> None:
    Lake(lake, "growing").make(TICKS)
    name = f"growing.{TICKS.name}"
    for count in range(3):
        assert query(f"SELECT count(*) FROM {name}") == [(100 * count,)]
        append(catalog, name, frames[TICKS.name].slice(100 * count, 100))


def test_a_date_means_utc_on_a_machine_elsewhere(
    query: Query, frames: dict[str, pl.DataFrame]
) -> None:
    assert query("SELECT current_timezone()") == [("UTC",)]
    first = datetime(2025, 3, 21, tzinfo=UTC)
    wanted = frames[TICKS.name].filter(
        pl.col("date_time").is_between(first, first + timedelta(hours=1))
    )
    # As Grafana writes it: without a zone.
    found = query(
        f"SELECT count(*) FROM {TICKS.name} WHERE date_time"
        " BETWEEN TIMESTAMP '2025-03-21 00:00:00' AND TIMESTAMP '2025-03-21 01:00:00'"
    )
    assert found == [(wanted.height,)]
    assert wanted.height > 0


def test_it_listens_on_this_machine_alone(trino_node: tuple[int, int]) -> None:
    port, pid = trino_node
    sockets = psutil.Process(pid).net_connections(kind="inet")
    listening = [one.laddr for one in sockets if one.status == psutil.CONN_LISTEN]
    assert {(at.ip.removeprefix("::ffff:"), at.port) for at in listening} == {("127.0.0.1", port)}


def test_of_all_plugins_only_these_catalogs_are_offered(query: Query) -> None:
    assert sorted(query("SHOW CATALOGS")) == [("iceberg",), ("kafka",), ("system",)]
    assert (NAMESPACE,) in query("SHOW SCHEMAS FROM iceberg")


def test_it_prints_what_the_page_says(
    environment: dict[str, str], trino_node: tuple[int, int], frames: dict[str, pl.DataFrame]
) -> None:
    block, (port, _) = shown()["Trino"], trino_node
    printed = run(block.code, environment, **{"port=8090": f"port={port}"})
    assert printed.strip() == block.printed.strip()


def test_what_a_tick_takes_is_asked_as_the_page_says(
    query: Query, frames: dict[str, pl.DataFrame]
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    [statement] = re.findall(r"`(SELECT sum\(file_size_in_bytes\)[^`]+)`", page)
    [(size,)] = query(statement)
    assert 0 < size < 1000


# --- small files, beside a sink ------------------------------------------------------------------
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
        sink = sinks.start("--commit-every", "1s", "--maintain-every", "1000")
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
