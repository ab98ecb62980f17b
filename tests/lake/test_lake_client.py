"""`homma candles` and `homma ticks` as they are typed."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from pyiceberg.catalog import load_catalog

from homma.cli.history_options import instant_us
from homma.cli.main import homma
from homma.errors import SettingError, TableMismatch
from homma.lake.schema import CANDLES, TICKS
from homma.lake.table import Lake
from tests.lake.rows import NOON, candle, candles, tick, ticks
from tests.lake.weed import Weed


class Typed:
    """A namespace with some rows, asked by the command line."""

    def __init__(self, server: Weed, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        lake = Lake(server.properties, namespace)
        table = lake.make(CANDLES[0])
        rows = [candle(s, NOON + timedelta(minutes=n), final=True) for s in "AB" for n in (0, 2, 3)]
        table.commit(table.upload(candles(*rows)))
        table = lake.make(TICKS)
        table.commit(table.upload(ticks(tick(1), tick(2, NOON + timedelta(microseconds=5)))))
        lake.close()

    def __call__(self, *words: str) -> Result:
        where = [
            "--namespace",
            self.namespace,
            "--catalog-uri",
            self.server.properties["uri"],
            "--s3-endpoint",
            self.server.properties["s3.endpoint"],
            "-C",
            f"oauth2-server-uri={self.server.properties['oauth2-server-uri']}",
        ]
        said = CliRunner().invoke(homma, [*words, *where], env=self.server.environment)
        if said.exception is not None and not isinstance(said.exception, SystemExit):
            raise said.exception
        return said


@pytest.fixture
def typed(server: Weed, namespace: str) -> Typed:
    return Typed(server, namespace)


def test_a_table_for_people(typed: Typed) -> None:
    lines = typed("candles", "m1", "A", "--last", "2").stdout.splitlines()
    assert lines[0].split() == [
        "source",
        "symbol",
        "start",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "final",
        "revision",
    ]
    assert [line.split()[2] for line in lines[1:]] == [
        "2025-03-20T12:02:00.000",
        "2025-03-20T12:03:00.000",
    ]
    assert typed("candles", "m1", "NO").stdout == "there is nothing\n"


def test_lines_of_json_are_as_in_kafka(typed: Typed) -> None:
    found = [json.loads(line) for line in typed("candles", "m1", "B", "--json").stdout.splitlines()]
    assert len(found) == 3
    assert found[1]["dateTime"] == "2025-03-20T12:02:00.000"
    assert set(found[1]) == {column.json for column in CANDLES[0].columns}
    filled = typed("candles", "m1", "B", "--json", "--fill", "previous").stdout.splitlines()
    assert [json.loads(line)["volume"] for line in filled] == [1, 0, 1, 1]
    [_, second] = typed("ticks", "AAA", "--json").stdout.splitlines()
    assert json.loads(second)["dateTime"] == "2025-03-20T12:00:00.000005"


def test_files_say_by_their_ending_what_they_are(typed: Typed, tmp_path: Path) -> None:
    span = ("--from", "2025-03-20T12:01", "--to", "2025-03-20T12:03:00")
    scans: dict[str, Callable[[Path], pl.DataFrame]] = {
        "parquet": pl.read_parquet,
        "csv": pl.read_csv,
        "ndjson": pl.read_ndjson,
    }
    for ending, read in scans.items():
        path = tmp_path / f"candles.{ending}"
        assert typed("candles", "m1", *span, "--output", str(path)).stdout == ""
        rows = read(path)
        assert rows["symbol"].to_list() == ["A", "B"], ending
        assert rows.columns == [column.json for column in CANDLES[0].columns]
    # An ending that says nothing.
    path = tmp_path / "candles.txt"
    typed("candles", "m1", "A", "--output", str(path), "--format", "csv")
    assert path.read_text().count("\n") == 4


def test_times_as_they_are_typed() -> None:
    second = 1_000_000
    assert instant_us("1970-01-02", 0, "--from") == 86_400 * second
    assert instant_us("1970-01-01T02:00+01:00", 0, "--from") == 3600 * second
    assert instant_us("1970-01-01T00:00:01.000001Z", 0, "--from") == second + 1
    assert instant_us("90s", 100 * second, "--from") == 10 * second
    assert instant_us("", 0, "--from") is None
    with pytest.raises(SettingError, match="--to yesterday is no instant"):
        instant_us("yesterday", 0, "--to")


def test_what_is_wrong_is_one_sentence(typed: Typed, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="m2 is no interval"):
        typed("candles", "m2")
    with pytest.raises(SettingError, match="cannot be written"):
        typed("candles", "m1", "--output", str(tmp_path / "no" / "x.csv"))


@pytest.mark.parametrize("words", [("candles", "m1"), ("ticks",), ("verify", "--tables-only")])
def test_a_namespace_that_is_not_there_is_said_and_not_made(
    typed: Typed, words: tuple[str, ...]
) -> None:
    typed.namespace += "x"
    with pytest.raises(TableMismatch, match=typed.namespace):
        typed(*words)
    catalog = load_catalog("theirs", type="rest", **typed.server.properties)
    assert not catalog.namespace_exists(typed.namespace)
