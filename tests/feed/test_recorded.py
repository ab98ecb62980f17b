"""Files of recorded ticks: formats, columns, and errors for invalid files."""

import gzip
import json
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.errors import FeedError, SettingError
from homma.feed.files import BATCH
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording
from tests.feed.market import START_US, checked, generated, take_values

Write = Callable[[pl.DataFrame, Path], object]


def write_compressed(frame: pl.DataFrame, path: Path) -> None:
    if path.suffix == ".gz":
        plain = path.with_suffix("")
        WRITE[plain.suffix](frame, plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))
    elif ".csv" in path.suffixes:
        frame.lazy().sink_csv(path, compression="zstd")
    else:
        frame.lazy().sink_ndjson(path, compression="zstd")


WRITE: dict[str, Write] = {
    ".parquet": pl.DataFrame.write_parquet,
    ".csv": pl.DataFrame.write_csv,
    ".ndjson": pl.DataFrame.write_ndjson,
    ".jsonl": pl.DataFrame.write_ndjson,
    ".gz": write_compressed,
    ".zst": write_compressed,
}


@pytest.fixture(scope="module")
def ticks() -> pl.DataFrame:
    """More than one batch, with prices of full precision and dates as text."""
    frame = checked(take_values(generated(), BATCH + 1_234)).drop(
        "error", "timestamp_us", "event_us"
    )
    draw = random.Random(7).uniform
    mid = pl.Series([draw(1e-9, 1e9) for _ in range(frame.height)])
    return frame.with_columns(mid=mid)


def write(folder: Path, name: str, **columns: Any) -> Path:
    path = folder / name
    frame = pl.DataFrame(columns, strict=False)
    WRITE[path.suffix](frame, path)
    return path


def read(*paths: Path, **mapping: Any) -> pl.DataFrame:
    return pl.concat(list(Recording(paths, ColumnMapping(**mapping)).frames()))


GOOD: dict[str, list[Any]] = {
    "source": ["S", "S"],
    "symbol": ["X", "X"],
    "mid": [1.5, 2.5],
    "dateTime": ["2025-03-20T14:31:28.000", "2025-03-20T14:31:29.000"],
}


@pytest.mark.parametrize(
    "ending",
    [".parquet", ".csv", ".csv.gz", ".csv.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst", ".jsonl"],
)
def test_every_format_gives_the_same_ticks(
    ending: str, ticks: pl.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / f"ticks{ending}"
    WRITE[path.suffix](ticks, path)
    actual = read(path)
    assert actual["event_us"].to_list() == [
        START_US + 1_000 * i // 1_000 * 1_000 for i in range(ticks.height)
    ]
    assert actual["received_us"].null_count() == 0
    # Prices are equal to the last bit.
    columns = ["source", "symbol", "ask", "bid", "mid", "number", "askMarkup", "isTradable"]
    assert actual.select(columns).equals(ticks.select(columns))


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_columns_with_other_names(ending: str, tmp_path: Path) -> None:
    path = write(
        tmp_path, f"t.{ending}", price=[1.5, 2.5], time=[1_000, 2_000], n=[7, 8], mid=["a", "b"]
    )
    columns = {"mid": "price", "dateTime": "time", "number": "n"}
    actual = read(path, columns=columns, source="S", symbol="X", unit="ms")
    assert actual.select("source", "symbol", "ask", "bid", "mid", "number", "event_us").rows() == [
        ("S", "X", 1.5, 1.5, 1.5, 7, 1_000_000),
        ("S", "X", 2.5, 2.5, 2.5, 8, 2_000_000),
    ]


def test_one_column_can_be_two_fields(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **GOOD)
    assert read(path, columns={"ask": "mid"})["ask"].to_list() == [1.5, 2.5]


def test_mid_is_the_mean_of_ask_and_bid(tmp_path: Path) -> None:
    path = write(
        tmp_path, "t.parquet", ask=[3.0], bid=[2.0], dateTime=[datetime(1970, 1, 1, 0, 0, 1)]
    )
    actual = read(path, source="S", symbol="X")
    assert actual.select("ask", "bid", "mid", "event_us").rows() == [(3.0, 2.0, 2.5, 1_000_000)]


def test_numbering_continues_over_all_files(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a.csv", **GOOD), write(tmp_path, "b.ndjson", **GOOD)
    assert read(first, second)["number"].to_list() == [1, 2, 3, 4]


def test_optional_fields_may_be_absent_or_null(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "t.csv",
        **GOOD,
        isTradable=["False", None],
        askMarkup=[None, 0.5],
        receiveDateTime=[None, "2025-03-20T14:31:29.386"],
    )
    actual = read(path)
    assert actual["isTradable"].to_list() == [False, None]
    assert actual["askMarkup"].to_list() == [None, 0.5]
    assert actual["received_us"].to_list() == [None, START_US + 1_386_000]
    assert "bidMarkup" not in actual.columns


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("mid", ["1.5", None], r"row 2: column mid is empty; fix"),
        ("mid", ["1.5", "high"], r"row 2: column mid has 'high', which is not a finite number"),
        ("mid", ["NaN", "1.5"], r"row 1: column mid has 'NaN', which is not a finite number"),
        ("mid", ["1.5", "inf"], r"row 2: column mid has 'inf'"),
        ("number", ["1", "1.5"], r"row 2: column number has '1.5', which is not an integer"),
        ("number", ["1", None], r"row 2: column number is empty"),
        ("source", ["S", None], r"row 2: column source is empty"),
        ("isTradable", ["true", "maybe"], r"'maybe', which is not true or false"),
        (
            "dateTime",
            ["2025-03-20T14:31:28", "12:00"],
            r"'12:00', which is not a date; .*time-unit",
        ),
        ("dateTime", ["2025-03-20T14:31:28", None], r"row 2: column dateTime is empty; fix"),
    ],
)
def test_an_invalid_row_is_reported_or_skipped_and_counted(
    ending: str, column: str, values: list[str | None], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, f"t.{ending}", **{**GOOD, column: values})
    with pytest.raises(FeedError, match=message) as raised:
        read(path)
    assert str(path) in str(raised.value)
    assert "--skip-invalid-rows" in str(raised.value)
    recording = Recording([path, path], ColumnMapping(skip=True))
    assert [frame.height for frame in recording.frames()] == [1, 1]
    assert recording.skipped == 2
    assert recording.count() is None


def test_the_row_number_continues_over_batches(ticks: pl.DataFrame, tmp_path: Path) -> None:
    mid = ticks["mid"].scatter(BATCH + 99, None)
    path = tmp_path / "t.parquet"
    ticks.with_columns(mid=mid).write_parquet(path)
    with pytest.raises(FeedError, match=f"row {BATCH + 100}: column mid is empty"):
        read(path)


def test_skipped_rows_are_not_numbered(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **{**GOOD, "mid": [None, 1.0]})
    assert read(path, skip=True)["number"].to_list() == [1]


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("source", r"has no column source, only .*--source"),
        ("symbol", r"has no column symbol, only .*--symbol"),
        ("dateTime", r"has no column dateTime, only .*--column dateTime="),
        ("mid", r"has no column mid, only .*both ask and bid"),
    ],
)
def test_a_missing_column_is_reported(drop: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **{k: v for k, v in GOOD.items() if k != drop})
    with pytest.raises(FeedError, match=message):
        Recording([path], ColumnMapping())


def test_a_missing_mapped_column_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **GOOD)
    with pytest.raises(FeedError, match=r"no column price, only .*--column mid="):
        Recording([path], ColumnMapping(columns={"mid": "price"}))
    with pytest.raises(SettingError, match="a tick has no field open"):
        ColumnMapping(columns={"open": "mid"})


def test_dates_that_are_numbers_need_a_unit(tmp_path: Path) -> None:
    path = write(tmp_path, "t.parquet", **{**GOOD, "dateTime": [1, 2]})
    with pytest.raises(FeedError, match=r"column dateTime has numbers .*--time-unit"):
        Recording([path], ColumnMapping())
    lists = write(tmp_path, "l.parquet", **{**GOOD, "dateTime": [[1], [2]]})
    with pytest.raises(FeedError, match=r"has type List.*not a date"):
        Recording([lists], ColumnMapping())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"no parquet", "cannot be read"),
        ("t.csv", b"", "cannot be read"),
        ("t.csv.gz", b"no gzip", "(cannot be read|has no column)"),
        ("t.xlsx", b"", "no file extension of a supported format"),
        ("t.parquet.gz", b"", "no file extension of a supported format"),
        ("ticks", b"", "no file extension of a supported format"),
        ("gz", b"", "no file extension of a supported format"),
    ],
)
def test_an_unreadable_file_is_reported(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FeedError, match=message) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"file .*t\.csv does not exist"):
        Recording([tmp_path / "t.csv"], ColumnMapping())


def test_an_invalid_line_of_json_is_reported(tmp_path: Path) -> None:
    line = json.dumps({name: values[0] for name, values in GOOD.items()})
    path = tmp_path / "t.ndjson"
    path.write_text("\n".join([line] * 2_000 + [line[:20], line]), encoding="utf-8")
    with pytest.raises(FeedError, match=r"t\.ndjson cannot be read at line 2001 "):
        read(path)


def test_a_truncated_file_is_an_error(ticks: pl.DataFrame, tmp_path: Path) -> None:
    for name in ("t.csv.gz", "t.ndjson.gz", "t.parquet"):
        path = tmp_path / name
        WRITE[path.suffix](ticks, path)
        path.write_bytes(path.read_bytes()[:-2_000])
        with pytest.raises(FeedError, match="cannot be read"):
            read(path)


def test_stars_in_file_names_are_not_patterns(tmp_path: Path) -> None:
    for ending in ("csv", "parquet", "ndjson"):
        write(tmp_path, f"ab.{ending}", **GOOD)
        starred = write(tmp_path, f"[a]*.{ending}", **{**GOOD, "symbol": ["Y", "Y"]})
        assert set(read(starred)["symbol"]) == {"Y"}


def test_semicolons_as_separators(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pl.DataFrame(GOOD).write_csv(path, separator=";")
    [frame] = Recording([path], ColumnMapping(separator=";")).frames()
    assert frame["mid"].to_list() == [1.5, 2.5]
