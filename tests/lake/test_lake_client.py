"""`homma candles` and `homma ticks` on the command line."""

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
from homma.core.fields import record_fields
from homma.errors import SettingError, TableMismatch
from homma.formats import CURRENT
from homma.lake.schema import TICKS
from homma.lake.table import Lake
from tests.support.candle_rows import MINUTES, NOON, candle, candles, tick, ticks
from tests.support.weed import Weed

#: The fields of candles of quotes, in order.
FIELDS = [field.json for field in record_fields("quote", CURRENT)]


class CommandLine:
    """Runs commands on a namespace with some rows."""

    def __init__(self, server: Weed, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        lake = Lake(server.properties, namespace)
        table = lake.ensure_table(MINUTES)
        rows = [candle(s, NOON + timedelta(minutes=n), final=True) for s in "AB" for n in (0, 2, 3)]
        table.commit(table.upload(candles(*rows)))
        table = lake.ensure_table(TICKS)
        table.commit(table.upload(ticks(tick(1), tick(2, NOON + timedelta(microseconds=5)))))
        lake.close()

    def __call__(self, *words: str) -> Result:
        options = [
            "--namespace",
            self.namespace,
            "--catalog-uri",
            self.server.properties["uri"],
            "--s3-endpoint",
            self.server.properties["s3.endpoint"],
            "-C",
            f"oauth2-server-uri={self.server.properties['oauth2-server-uri']}",
        ]
        result = CliRunner().invoke(homma, [*words, *options], env=self.server.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def run(server: Weed, namespace: str) -> CommandLine:
    return CommandLine(server, namespace)


def test_output_as_a_table(run: CommandLine) -> None:
    lines = run("candles", "m1", "A", "--last", "2").stdout.splitlines()
    assert lines[0].split() == [
        "source",
        "symbol",
        "start",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "tickCount",
        "final",
        "revision",
    ]
    assert [line.split()[2] for line in lines[1:]] == [
        "2025-03-20T12:02:00.000",
        "2025-03-20T12:03:00.000",
    ]
    assert run("candles", "m1", "NO").stdout == "no rows\n"


def test_json_lines_have_the_fields_of_records(run: CommandLine) -> None:
    rows_as_json = [
        json.loads(line) for line in run("candles", "m1", "B", "--json").stdout.splitlines()
    ]
    assert len(rows_as_json) == 3
    assert rows_as_json[1]["dateTime"] == "2025-03-20T12:02:00.000"
    assert list(rows_as_json[1]) == FIELDS
    filled = run("candles", "m1", "B", "--json", "--fill", "previous").stdout.splitlines()
    assert [json.loads(line)["volume"] for line in filled] == [1, 0, 1, 1]
    [_, second] = run("ticks", "AAA", "--json").stdout.splitlines()
    assert json.loads(second)["dateTime"] == "2025-03-20T12:00:00.000005"


def test_the_file_extension_selects_the_format(run: CommandLine, tmp_path: Path) -> None:
    span = ("--from", "2025-03-20T12:01", "--to", "2025-03-20T12:03:00")
    scans: dict[str, Callable[[Path], pl.DataFrame]] = {
        "parquet": pl.read_parquet,
        "csv": pl.read_csv,
        "ndjson": pl.read_ndjson,
    }
    for extension, read in scans.items():
        path = tmp_path / f"candles.{extension}"
        assert run("candles", "m1", *span, "--output", str(path)).stdout == ""
        rows = read(path)
        assert rows["symbol"].to_list() == ["A", "B"], extension
        assert rows.columns == FIELDS
    # An unknown extension needs --format.
    path = tmp_path / "candles.txt"
    run("candles", "m1", "A", "--output", str(path), "--format", "csv")
    assert path.read_text().count("\n") == 4


def test_times_on_the_command_line() -> None:
    second = 1_000_000
    assert instant_us("1970-01-02", 0, "--from") == 86_400 * second
    assert instant_us("1970-01-01T02:00+01:00", 0, "--from") == 3600 * second
    assert instant_us("1970-01-01T00:00:01.000001Z", 0, "--from") == second + 1
    assert instant_us("90s", 100 * second, "--from") == 10 * second
    assert instant_us("", 0, "--from") is None
    with pytest.raises(SettingError, match="--to yesterday is not a time"):
        instant_us("yesterday", 0, "--to")


def test_errors_are_one_sentence(run: CommandLine, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="m7 is not an interval"):
        run("candles", "m7")
    with pytest.raises(SettingError, match="cannot be written"):
        run("candles", "m1", "--output", str(tmp_path / "no" / "x.csv"))


@pytest.mark.parametrize("words", [("candles", "m1"), ("ticks",), ("verify", "--tables-only")])
def test_a_missing_namespace_is_an_error_and_is_not_created(
    run: CommandLine, words: tuple[str, ...]
) -> None:
    run.namespace += "x"
    with pytest.raises(TableMismatch, match=run.namespace):
        run(*words)
    catalog = load_catalog("theirs", type="rest", **run.server.properties)
    assert not catalog.namespace_exists(run.namespace)
