"""Tables on a real catalog: made as they should be, committed to once, read as they are."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import polars as pl
import pytest
from pyiceberg.catalog import load_catalog

from homma.errors import CommitRefused, LakeDenied, LakeError, LakeUnreachable, TableMismatch
from homma.lake.offsets import Offsets
from homma.lake.schema import CANDLES, TABLES, TICKS
from homma.lake.table import Lake, Table, Where
from tests.lake.rows import NOON, candle, candles, tick, ticks
from tests.stack.waiting import free_ports

OFFSETS = Offsets("stock_ticks", "id", MappingProxyType({0: 3, 1: 7}))


@pytest.fixture
def here(lake: dict[str, str], namespace: str) -> Iterator[Lake]:
    lake_here = Lake(lake, namespace)
    yield lake_here
    lake_here.close()


def add(table: Table, rows: pl.DataFrame, offsets: Offsets | None = None, name: str = "") -> None:
    table.commit(table.upload(rows), (), offsets, name)


def test_the_twelve_tables_are_made_as_the_contract_says(
    lake: dict[str, str], namespace: str, here: Lake
) -> None:
    for spec in TABLES:
        here.make(spec)
        here.make(spec)
    catalog = load_catalog("theirs", type="rest", **lake)
    assert {name[-1] for name in catalog.list_tables(namespace)} == {s.name for s in TABLES}
    minutes = catalog.load_table((namespace, "candle_1min_iceberg"))
    assert minutes.metadata.format_version == 2
    assert [str(field.transform) for field in minutes.spec().fields] == ["identity", "day"]
    assert minutes.schema().identifier_field_names() == {"source", "symbol", "date_time"}
    assert minutes.schema().find_field("volume").doc == "count of ticks"
    assert [f.source_id for f in minutes.sort_order().fields] == [1, 2, 3]
    hours = catalog.load_table((namespace, "candle_4hour_iceberg"))
    assert [str(field.transform) for field in hours.spec().fields] == ["identity", "month"]
    months = catalog.load_table((namespace, "candle_1month_iceberg"))
    assert [field.name for field in months.spec().fields] == ["is_final"]
    ticks_there = catalog.load_table((namespace, "stock_ticks_iceberg"))
    assert ticks_there.schema().identifier_field_names() == {"kafka_partition", "kafka_offset"}


def test_what_is_committed_is_read_again_with_its_offsets(here: Lake) -> None:
    table = here.make(TICKS)
    rows = ticks(tick(1), tick(2, NOON + timedelta(days=1), symbol="BBB"), tick(3))
    assert table.offsets() is None
    add(table, rows, OFFSETS, "one")
    other = here.table(TICKS)
    assert other.scan().sort("kafka_offset").equals(rows)
    assert other.offsets() == OFFSETS
    assert other.holds("one")
    assert not other.holds("two")
    of_bbb = other.scan(Where(series=(("S", "BBB"),)), ["kafka_offset"])
    assert of_bbb.to_dicts() == [{"kafka_offset": 2}]
    day_us = 86_400_000_000
    start_us = int(NOON.timestamp()) * 1_000_000
    assert other.scan(Where(since_us=start_us + 1, until_us=start_us + 2 * day_us)).height == 1


def test_the_offsets_survive_commits_of_others(here: Lake) -> None:
    table = here.make(TICKS)
    add(table, ticks(tick(1)), OFFSETS, "one")
    for _ in range(3):
        add(table, ticks(tick(9)))
    again = here.table(TICKS)
    assert again.offsets() == OFFSETS
    assert again.holds("one")


def test_a_commit_on_an_old_snapshot_is_refused(here: Lake) -> None:
    first, second = here.make(TICKS), here.table(TICKS)
    add(first, ticks(tick(1)), OFFSETS, "one")
    with pytest.raises(CommitRefused):
        add(second, ticks(tick(1)), OFFSETS, "two")
    second.refresh()
    assert second.holds("one")
    assert not second.holds("two")
    add(second, ticks(tick(2)), OFFSETS.moved({0: 4}), "three")
    assert here.table(TICKS).scan().height == 2


def test_files_are_replaced_in_one_snapshot(here: Lake) -> None:
    table = here.make(CANDLES[0])
    add(table, candles(candle("AAA"), candle("BBB", final=True)))
    for volume in range(2, 30):
        gone = table.parts(Where(final=False))
        table.commit(table.upload(candles(candle("AAA", volume=volume))), gone)
    again = here.table(CANDLES[0])
    found = again.scan().select("symbol", "volume", "is_final").sort("symbol")
    assert found.rows() == [("AAA", 29, False), ("BBB", 1, True)]
    assert len(again.parts()) == 2


def test_rows_that_lack_what_is_required_are_not_written(here: Lake) -> None:
    table = here.make(CANDLES[0])
    with pytest.raises(LakeError, match="have no open"):
        table.upload(candles(candle(open=None)))


def test_another_schema_is_refused(here: Lake) -> None:
    here.make(replace(CANDLES[0], columns=CANDLES[0].columns[:8], cuts=(), name=TICKS.name))
    for look in (here.make, here.table):
        with pytest.raises(TableMismatch, match="stock_ticks_iceberg has another schema: it lacks"):
            look(TICKS)
    here.make(replace(CANDLES[1], cuts=()))
    with pytest.raises(TableMismatch, match="partitioned otherwise"):
        here.table(CANDLES[1])


def test_a_missing_table_is_said(here: Lake) -> None:
    with pytest.raises(TableMismatch, match="homma land"):
        here.table(TICKS)


def test_wrong_credentials_and_addresses_are_said(lake: dict[str, str], namespace: str) -> None:
    with pytest.raises(LakeDenied, match="AWS_SECRET_ACCESS_KEY"):
        Lake({**lake, "credential": "some:body"}, namespace)
    [nobody] = free_ports(1)
    with pytest.raises(LakeUnreachable, match=f"127.0.0.1:{nobody}.*--catalog-uri"):
        Lake({**lake, "uri": f"http://127.0.0.1:{nobody}"}, namespace)
    with pytest.raises(LakeDenied):
        Lake({**lake, "uri": lake["s3.endpoint"]}, namespace)


def test_wrong_storage_is_said(lake: dict[str, str], namespace: str) -> None:
    [nobody] = free_ports(1)
    for wrong, error, word in (
        ({"s3.secret-access-key": "wrong"}, LakeDenied, "AWS_SECRET_ACCESS_KEY"),
        ({"s3.endpoint": f"http://127.0.0.1:{nobody}"}, LakeUnreachable, "--s3-endpoint"),
    ):
        there = Lake({**lake, **wrong}, namespace)
        table = there.make(TICKS)
        with pytest.raises(error, match=word) as raised:
            table.upload(ticks(tick(1)))
        assert "wrong" not in str(raised.value)
        there.close()
