"""Tables stay small, and compaction does not change rows."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest

from homma.core.finality import FinalityRules
from homma.core.interval import MINUTE
from homma.failpoint import ignore_step
from homma.lake.land.iceberg.candle_sink import CandleSink
from homma.lake.land.iceberg.committing import RetryPolicy
from homma.lake.land.iceberg.table_sink import SinkContext
from homma.lake.land.sink import SourceTopic
from homma.lake.table import Lake, Table, Where, maintenance
from homma.lake.table.offsets import Offsets
from homma.metrics import LAND, Metrics
from homma.stack.servers.seaweed import purge_log
from tests.support import weed
from tests.support.candle_rows import MINUTES, NOON, candle, candles


@pytest.fixture
def lake_client(lake: dict[str, str], namespace: str) -> Iterator[Lake]:
    client = Lake(lake, namespace)
    yield client
    client.close()


def sink(table: Table) -> CandleSink:
    """A sink that always maintains its table, and keeps no orphaned files."""
    context = SinkContext(
        RetryPolicy(lambda: False),
        Metrics(LAND),
        ignore_step,
        orphan_retention_s=0.0,
        maintain_every=1,
        now_s=lambda: 1e12,
    )
    source = SourceTopic("candle_1min", "id", MINUTE)
    return CandleSink(
        table, source, context, 1.0, FinalityRules(watermark_delay_us=0, idle_timeout_us=0)
    )


def replace_rows(table: Table, number: int) -> None:
    """Commit like the sink: replace open rows, add final ones."""
    at = NOON + timedelta(minutes=number)
    rows = candles(
        candle("AAA", at, volume=number), candle("AAA", at - timedelta(minutes=1), final=True)
    )
    offsets = Offsets("candle_1min", "id", MappingProxyType({0: number}))
    table.commit(table.upload(rows), table.parts(Where(final=False)), offsets, f"c{number}")


def objects_of(table: Table) -> list[Any]:
    return maintenance.list_objects(table._iceberg)


def sizes_after_commits(lake_client: Lake, commits: int, every: int) -> Iterator[tuple[int, int]]:
    """Yield number and bytes of a table's objects after each `every` commits."""
    table = lake_client.ensure_table(MINUTES)
    maintainer = sink(table)
    for number in range(commits):
        replace_rows(table, number)
        if (number + 1) % every == 0:
            maintainer.maintain()
            objects = objects_of(table)
            yield len(objects), sum(item.size for item in objects)
    assert table.scan(Where(final=True)).height == commits
    assert table.scan(Where(final=False)).height == 1
    assert table.offsets() == Offsets("candle_1min", "id", MappingProxyType({0: commits - 1}))


def check_bounded(sizes: list[tuple[int, int]], data_files: int) -> None:
    """Check that only data files grow in number, which compaction bounds."""
    objects = [count for count, _ in sizes]
    half = len(objects) // 2
    assert max(objects[half:]) <= max(objects[:half]) + data_files


def test_no_files_are_left_behind(lake_client: Lake) -> None:
    sizes = list(sizes_after_commits(lake_client, 60, 10))
    # The last two hours are not compacted yet: one file per commit, and no more.
    check_bounded(sizes, data_files=30)


def on_disk(folder: Path) -> int:
    """The bytes that the servers use, including their change logs and indexes."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


@pytest.mark.stack
@pytest.mark.timeout(1800)
def test_a_thousand_commits_leave_as_much_as_a_hundred(tmp_path: Path, namespace: str) -> None:
    disk = []
    sizes = []
    with weed.restartable(tmp_path) as (server, _, seaweed):
        lake_client = Lake(server.properties, namespace)
        for objects in sizes_after_commits(lake_client, 1000, 25):
            sizes.append(objects)
            if len(sizes) % 5 == 0:
                # As `homma up` does every hour.
                purge_log(seaweed, threading.Event())
                disk.append(on_disk(seaweed.folder / "data"))
        lake_client.close()
    check_bounded(sizes, data_files=60)
    # A row has a hundred bytes or less: only rows grow.
    (_, early), (_, late) = sizes[len(sizes) // 10], sizes[-1]
    assert late < early + 900 * 200
    # Deleted files are freed when enough of a volume is garbage, so usage may vary by half.
    half = len(disk) // 2
    assert max(disk[half:]) < 1.5 * max(disk[:half])


def test_compaction_of_small_files_keeps_rows_and_offsets(lake_client: Lake) -> None:
    table = lake_client.ensure_table(MINUTES)
    written = []
    for number in range(6):
        rows = candles(
            *(candle(f"S{n}", NOON + timedelta(minutes=number), final=True) for n in range(3))
        )
        written.append(rows)
        table.commit(table.upload(rows))
    later = candles(candle("AAA", NOON + timedelta(days=2), final=True))
    written.append(later)
    offsets = Offsets("candle_1min", "id", MappingProxyType({0: 7}))
    table.commit(table.upload(later), (), offsets, "x")
    maintainer = sink(table)
    maintainer.maintain()
    reopened = lake_client.table(MINUTES)
    assert len(reopened.parts()) == 2
    key = ["source", "symbol", "date_time"]
    assert reopened.scan().sort(key).equals(pl.concat(written).sort(key))
    assert reopened.offsets() == offsets
    # Commits continue on the compacted table.
    replace_rows(reopened, 1)
    assert reopened.scan().height == 21
