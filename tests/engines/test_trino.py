"""Trino reads the lake, by the settings that compose will mount."""

from datetime import UTC, datetime, timedelta

import polars as pl
import psutil
import pytest
from pyiceberg.catalog import Catalog

from homma.lake.schema import BY_NAME, TABLES, TICKS
from homma.lake.table import Lake
from tests.engines.conftest import NAMESPACE, Query, append

pytestmark = pytest.mark.stack


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
