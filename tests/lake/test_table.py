"""Tables in a real catalog: creation, commits, reads."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import polars as pl
import pytest
from pyiceberg.catalog import load_catalog

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import BY_CODE
from homma.errors import CommitRefused, LakeDenied, LakeError, LakeUnreachable, TableMismatch
from homma.lake.schema import TICKS, candle_table, tables
from homma.lake.table import Lake, Table, Where
from homma.lake.table.offsets import Offsets
from tests.support.candle_rows import MINUTES, NOON, candle, candles, tick, ticks
from tests.support.waiting import free_ports

OFFSETS = Offsets("stock_ticks", "id", MappingProxyType({0: 3, 1: 7}))


@pytest.fixture
def lake_client(lake: dict[str, str], namespace: str) -> Iterator[Lake]:
    client = Lake(lake, namespace)
    yield client
    client.close()


def add(table: Table, rows: pl.DataFrame, offsets: Offsets | None = None, name: str = "") -> None:
    table.commit(table.upload(rows), (), offsets, name)


def test_the_twelve_tables_are_created_by_the_contract(
    lake: dict[str, str], namespace: str, lake_client: Lake
) -> None:
    for spec in tables(DEFAULT_CALENDAR):
        lake_client.ensure_table(spec)
        lake_client.ensure_table(spec)
    catalog = load_catalog("theirs", type="rest", **lake)
    assert {name[-1] for name in catalog.list_tables(namespace)} == {
        spec.name for spec in tables(DEFAULT_CALENDAR)
    }
    minutes = catalog.load_table((namespace, "candle_1min_iceberg"))
    assert minutes.metadata.format_version == 2
    assert [str(field.transform) for field in minutes.spec().fields] == ["identity", "day"]
    assert minutes.schema().identifier_field_names() == {"source", "symbol", "date_time"}
    assert minutes.schema().find_field("volume").doc == "Number of ticks. Duplicates count once."
    assert [f.source_id for f in minutes.sort_order().fields] == [1, 2, 3]
    hours = catalog.load_table((namespace, "candle_4hour_iceberg"))
    assert [str(field.transform) for field in hours.spec().fields] == ["identity", "month"]
    months = catalog.load_table((namespace, "candle_1month_iceberg"))
    assert [field.name for field in months.spec().fields] == ["is_final"]
    ticks_there = catalog.load_table((namespace, "stock_ticks_iceberg"))
    assert ticks_there.schema().identifier_field_names() == {"kafka_partition", "kafka_offset"}


def test_committed_rows_are_read_with_their_offsets(lake_client: Lake) -> None:
    table = lake_client.ensure_table(TICKS)
    rows = ticks(tick(1), tick(2, NOON + timedelta(days=1), symbol="BBB"), tick(3))
    assert table.offsets() is None
    add(table, rows, OFFSETS, "one")
    reopened = lake_client.table(TICKS)
    assert reopened.scan().sort("kafka_offset").equals(rows)
    assert reopened.offsets() == OFFSETS
    assert reopened.has_commit("one")
    assert not reopened.has_commit("two")
    of_bbb = reopened.scan(Where(series=(("S", "BBB"),)), ["kafka_offset"])
    assert of_bbb.to_dicts() == [{"kafka_offset": 2}]
    day_us = 86_400_000_000
    start_us = int(NOON.timestamp()) * 1_000_000
    assert reopened.scan(Where(since_us=start_us + 1, until_us=start_us + 2 * day_us)).height == 1


def test_offsets_survive_commits_of_others(lake_client: Lake) -> None:
    table = lake_client.ensure_table(TICKS)
    add(table, ticks(tick(1)), OFFSETS, "one")
    for _ in range(3):
        add(table, ticks(tick(9)))
    reopened = lake_client.table(TICKS)
    assert reopened.offsets() == OFFSETS
    assert reopened.has_commit("one")


def test_a_commit_on_an_old_snapshot_is_refused(lake_client: Lake) -> None:
    first, second = lake_client.ensure_table(TICKS), lake_client.table(TICKS)
    add(first, ticks(tick(1)), OFFSETS, "one")
    with pytest.raises(CommitRefused):
        add(second, ticks(tick(1)), OFFSETS, "two")
    second.refresh()
    assert second.has_commit("one")
    assert not second.has_commit("two")
    add(second, ticks(tick(2)), OFFSETS.advanced({0: 4}), "three")
    assert lake_client.table(TICKS).scan().height == 2


def test_files_are_replaced_in_one_snapshot(lake_client: Lake) -> None:
    table = lake_client.ensure_table(MINUTES)
    add(table, candles(candle("AAA"), candle("BBB", final=True)))
    for volume in range(2, 30):
        replaced = table.parts(Where(final=False))
        table.commit(table.upload(candles(candle("AAA", volume=volume))), replaced)
    reopened = lake_client.table(MINUTES)
    rows = reopened.scan().select("symbol", "volume", "is_final").sort("symbol")
    assert rows.rows() == [("AAA", 29, False), ("BBB", 1, True)]
    assert len(reopened.parts()) == 2


def test_rows_without_a_required_value_are_not_written(lake_client: Lake) -> None:
    table = lake_client.ensure_table(MINUTES)
    with pytest.raises(LakeError, match="have no open"):
        table.upload(candles(candle(open=None)))


def test_another_schema_is_refused(lake_client: Lake) -> None:
    lake_client.ensure_table(
        replace(MINUTES, columns=MINUTES.columns[:8], partitions=(), name=TICKS.name)
    )
    for open_table in (lake_client.ensure_table, lake_client.table):
        with pytest.raises(
            TableMismatch, match="stock_ticks_iceberg has a different schema: it lacks"
        ):
            open_table(TICKS)
    five_minutes = candle_table(BY_CODE["m5"])
    lake_client.ensure_table(replace(five_minutes, partitions=()))
    with pytest.raises(
        TableMismatch, match=r"is partitioned by nothing instead of is_final, day\(date_time\)"
    ):
        lake_client.table(five_minutes)


def test_a_missing_table_is_an_error(lake_client: Lake) -> None:
    with pytest.raises(TableMismatch, match="homma land"):
        lake_client.table(TICKS)


def test_wrong_credentials_and_addresses_are_errors(lake: dict[str, str], namespace: str) -> None:
    with pytest.raises(LakeDenied, match="AWS_SECRET_ACCESS_KEY"):
        Lake({**lake, "credential": "some:body"}, namespace)
    [unused_port] = free_ports(1)
    with pytest.raises(LakeUnreachable, match=f"127.0.0.1:{unused_port}.*--catalog-uri"):
        Lake({**lake, "uri": f"http://127.0.0.1:{unused_port}"}, namespace)
    with pytest.raises(LakeDenied):
        Lake({**lake, "uri": lake["s3.endpoint"]}, namespace)


def test_wrong_storage_is_an_error(lake: dict[str, str], namespace: str) -> None:
    [unused_port] = free_ports(1)
    for wrong, error, word in (
        ({"s3.secret-access-key": "wrong"}, LakeDenied, "AWS_SECRET_ACCESS_KEY"),
        ({"s3.endpoint": f"http://127.0.0.1:{unused_port}"}, LakeUnreachable, "--s3-endpoint"),
    ):
        wrong_lake = Lake({**lake, **wrong}, namespace)
        table = wrong_lake.ensure_table(TICKS)
        with pytest.raises(error, match=word) as raised:
            table.upload(ticks(tick(1)))
        assert "wrong" not in str(raised.value)
        wrong_lake.close()
