"""Trino reads the lake, with the settings that compose mounts, and compacts small files."""

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

from homma.core.calendar import DEFAULT_CALENDAR
from homma.lake.schema import TICKS, tables
from homma.lake.table import Lake
from tests.engines.code_blocks import code_blocks, run
from tests.engines.conftest import NAMESPACE, ROOT, Query, append
from tests.support.engines import Feed, market
from tests.support.pipeline import Pipeline
from tests.support.sinks import Sinks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
BY_NAME = {spec.name: spec for spec in tables(DEFAULT_CALENDAR)}


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_table_has_its_rows(query: Query, frames: dict[str, pl.DataFrame], name: str) -> None:
    rows = query(f"SELECT * FROM {name}")
    assert len(rows) == frames[name].height
    assert set(rows) == set(frames[name].rows())


def test_the_columns_have_their_order_and_comments(
    query: Query, frames: dict[str, pl.DataFrame]
) -> None:
    for name in frames:
        description = query(f"DESCRIBE {name}")
        columns = [(column, comment) for column, _, _, comment in description]
        assert columns == [(column.name, column.comment) for column in BY_NAME[name].columns]


def test_the_next_query_sees_a_commit(
    query: Query, catalog: Catalog, lake: dict[str, str], frames: dict[str, pl.DataFrame]
) -> None:
    Lake(lake, "growing").ensure_table(TICKS)
    name = f"growing.{TICKS.name}"
    for count in range(3):
        assert query(f"SELECT count(*) FROM {name}") == [(100 * count,)]
        append(catalog, name, frames[TICKS.name].slice(100 * count, 100))


def test_dates_are_utc_on_a_machine_in_another_zone(
    query: Query, frames: dict[str, pl.DataFrame]
) -> None:
    assert query("SELECT current_timezone()") == [("UTC",)]
    first = datetime(2025, 3, 21, tzinfo=UTC)
    expected = frames[TICKS.name].filter(
        pl.col("date_time").is_between(first, first + timedelta(hours=1))
    )
    # Without a zone, as Grafana sends it.
    rows = query(
        f"SELECT count(*) FROM {TICKS.name} WHERE date_time"
        " BETWEEN TIMESTAMP '2025-03-21 00:00:00' AND TIMESTAMP '2025-03-21 01:00:00'"
    )
    assert rows == [(expected.height,)]
    assert expected.height > 0


def test_it_listens_on_localhost_only(trino_node: tuple[int, int]) -> None:
    port, pid = trino_node
    sockets = psutil.Process(pid).net_connections(kind="inet")
    listening = [s.laddr for s in sockets if s.status == psutil.CONN_LISTEN]
    assert {(at.ip.removeprefix("::ffff:"), at.port) for at in listening} == {("127.0.0.1", port)}


def test_only_these_catalogs_exist(query: Query) -> None:
    assert sorted(query("SHOW CATALOGS")) == [("iceberg",), ("kafka",), ("system",)]
    assert (NAMESPACE,) in query("SHOW SCHEMAS FROM iceberg")


def test_it_prints_the_output_on_the_page(
    environment: dict[str, str], trino_node: tuple[int, int], frames: dict[str, pl.DataFrame]
) -> None:
    block, (port, _) = code_blocks()["Trino"], trino_node
    output = run(block.code, environment, **{"port=8090": f"port={port}"})
    assert output.strip() == block.output.strip()


def test_the_query_for_the_size_of_a_tick(query: Query, frames: dict[str, pl.DataFrame]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    [statement] = re.findall(r"`(SELECT sum\(file_size_in_bytes\)[^`]+)`", page)
    [(size,)] = query(statement)
    assert 0 < size < 1000


# --- small files, next to a sink ------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """A table, the rows to compact, and whether the feed has late ticks."""

    table: str
    where: str
    noisy: bool


CASES = [
    Case("stock_ticks_iceberg", "", noisy=True),
    # Without open candles, which `land` replaces at every commit. With late ticks `land` would also
    # replace final candles all the time, and leave a single file with nothing to compact.
    Case("candle_1min_iceberg", " WHERE is_final", noisy=False),
]
ROUNDS = 3
RECORDS = 60_000
#: Longer than the rounds take on any machine.
FEED_S = 600.0
NOT_YET = ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.table)
def test_optimize_while_land_runs_loses_nothing(
    query: Query, bootstrap: str, lake: dict[str, str], tmp_path: Path, case: Case
) -> None:
    namespace = "n" + uuid.uuid4().hex[:10]
    pipeline = Pipeline(bootstrap, partitions=2)
    snapshot_ids: set[int] = set()

    def count_compactions() -> int:
        """The number of compactions by Trino so far; 0 while the table does not exist."""
        snapshots = f'{namespace}."{case.table}$snapshots"'
        try:
            query(f"ALTER TABLE {namespace}.{case.table} EXECUTE optimize{case.where}")
        except TrinoUserError as error:
            if error.error_name in NOT_YET:
                return 0
            raise
        rows = query(f"SELECT snapshot_id FROM {snapshots} WHERE operation = 'replace'")
        snapshot_ids.update(snapshot for (snapshot,) in rows)
        return len(snapshot_ids)

    with Sinks(pipeline, lake, namespace, tmp_path) as sinks:
        sink = sinks.start("--commit-every", "1s", "--maintain-every", "1000")
        records = market(5, RECORDS, 8, noisy=case.noisy)
        with pipeline.running(), Feed(pipeline, records, FEED_S) as feed:
            while count_compactions() < ROUNDS:
                assert feed.sent < RECORDS
            feed.stop()
        sink.terminate()
        assert sink.process.wait(120) == 0, sink.output()
        pipeline.work_off()
        sinks.work_off()
        assert sinks.check() > 0
