"""A table stays small, and what is put together stays what it is."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest

from homma.failpoint import ignored
from homma.lake.candles import CandleSink
from homma.lake.committing import RetryPolicy
from homma.lake.newest import FinalityRules
from homma.lake.offsets import Offsets
from homma.lake.schema import CANDLES
from homma.lake.sinks import SinkContext, SourceTopic
from homma.lake.table import Lake, Table, Where, maintenance
from homma.metrics import LAND, Metrics
from homma.stack.seaweed import purge_log
from tests.lake import weed
from tests.lake.rows import NOON, candle, candles


@pytest.fixture
def here(lake: dict[str, str], namespace: str) -> Iterator[Lake]:
    lake_here = Lake(lake, namespace)
    yield lake_here
    lake_here.close()


def sink(table: Table) -> CandleSink:
    """One that tidies as soon as it is asked, and keeps no file that nobody needs."""
    place = SinkContext(
        RetryPolicy(lambda: False),
        Metrics(LAND),
        ignored,
        keep_s=0.0,
        maintain_every=1,
        now_s=lambda: 1e12,
    )
    return CandleSink(table, SourceTopic("candle_1min", "id"), place, 1.0, FinalityRules(0, 0, 0))


def replaced(table: Table, number: int) -> None:
    """A commit as the sink makes it: open rows anew, some final ones."""
    at = NOON + timedelta(minutes=number)
    rows = candles(
        candle("AAA", at, volume=number), candle("AAA", at - timedelta(minutes=1), final=True)
    )
    offsets = Offsets("candle_1min", "id", MappingProxyType({0: number}))
    table.commit(table.upload(rows), table.parts(Where(final=False)), offsets, f"c{number}")


def lie_there(table: Table) -> list[Any]:
    return maintenance.stored(table._iceberg)


def grown(here: Lake, commits: int, every: int) -> Iterator[tuple[int, int]]:
    """Objects and bytes of a table after each `every` commits."""
    table = here.make(CANDLES[0])
    tidy = sink(table)
    for number in range(commits):
        replaced(table, number)
        if (number + 1) % every == 0:
            tidy.maintain()
            there = lie_there(table)
            yield len(there), sum(one.size for one in there)
    assert table.scan(Where(final=True)).height == commits
    assert table.scan(Where(final=False)).height == 1
    assert table.offsets() == Offsets("candle_1min", "id", MappingProxyType({0: commits - 1}))


def no_more_each_time(found: list[tuple[int, int]], of_files: int) -> None:
    """Beyond the files of rows, which compaction bounds, nothing is left behind."""
    objects = [count for count, _ in found]
    half = len(objects) // 2
    assert max(objects[half:]) <= max(objects[:half]) + of_files


def test_nothing_is_left_behind(here: Lake) -> None:
    found = list(grown(here, 60, 10))
    # Two hours of minutes are not put together yet: a file a commit, and no more than that.
    no_more_each_time(found, of_files=30)


def on_disk(folder: Path) -> int:
    """What the servers take of it, their own logs of changes and their index too."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


@pytest.mark.stack
@pytest.mark.timeout(1800)
def test_a_thousand_commits_leave_what_a_hundred_do(tmp_path: Path, namespace: str) -> None:
    disk = []
    found = []
    with weed.mortal(tmp_path) as (server, _, seaweed):
        here = Lake(server.properties, namespace)
        for there in grown(here, 1000, 25):
            found.append(there)
            if len(found) % 5 == 0:
                # As `homma up` does every hour.
                purge_log(seaweed, threading.Event())
                disk.append(on_disk(seaweed.folder / "data"))
        here.close()
    no_more_each_time(found, of_files=60)
    # A row is a hundred bytes or less; what grows is the rows.
    (_, early), (_, late) = found[len(found) // 10], found[-1]
    assert late < early + 900 * 200
    # Deleted files go when enough of a volume is garbage: with every commit it would be twice.
    half = len(disk) // 2
    assert max(disk[half:]) < 1.5 * max(disk[:half])


def test_small_files_are_put_together_and_stay_what_they_are(here: Lake) -> None:
    table = here.make(CANDLES[0])
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
    tidy = sink(table)
    tidy.maintain()
    again = here.table(CANDLES[0])
    assert len(again.parts()) == 2
    key = ["source", "symbol", "date_time"]
    assert again.scan().sort(key).equals(pl.concat(written).sort(key))
    assert again.offsets() == offsets
    # The sink goes on, on what it has made.
    replaced(again, 1)
    assert again.scan().height == 21
