"""Files of recorded ticks: formats, columns, and what is wrong with them in one sentence."""

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
from homma.feed.recorded import Layout
from homma.feed.replay import Recording
from tests.feed.market import START_US, judged, made_up, taken

Write = Callable[[pl.DataFrame, Path], object]


def packed(frame: pl.DataFrame, path: Path) -> None:
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
    ".gz": packed,
    ".zst": packed,
}


@pytest.fixture(scope="module")
def ticks() -> pl.DataFrame:
    """More than one batch, with prices of all digits, dated by text."""
    frame = judged(taken(made_up(), BATCH + 1_234)).drop("error", "timestamp_us", "event_us")
    draw = random.Random(7).uniform
    mid = pl.Series([draw(1e-9, 1e9) for _ in range(frame.height)])
    return frame.with_columns(mid=mid)


def write(folder: Path, name: str, **columns: Any) -> Path:
    path = folder / name
    frame = pl.DataFrame(columns, strict=False)
    WRITE[path.suffix](frame, path)
    return path


def read(*paths: Path, **layout: Any) -> pl.DataFrame:
    return pl.concat(list(Recording(paths, Layout(**layout)).frames()))


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
    found = read(path)
    assert found["event_us"].to_list() == [
        START_US + 1_000 * i // 1_000 * 1_000 for i in range(ticks.height)
    ]
    assert found["received_us"].null_count() == 0
    # Prices to the last bit.
    same = ["source", "symbol", "ask", "bid", "mid", "number", "askMarkup", "isTradable"]
    assert found.select(same).equals(ticks.select(same))


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_columns_of_other_names(ending: str, tmp_path: Path) -> None:
    path = write(
        tmp_path, f"t.{ending}", price=[1.5, 2.5], time=[1_000, 2_000], n=[7, 8], mid=["a", "b"]
    )
    columns = {"mid": "price", "dateTime": "time", "number": "n"}
    found = read(path, columns=columns, source="S", symbol="X", unit="ms")
    assert found.select("source", "symbol", "ask", "bid", "mid", "number", "event_us").rows() == [
        ("S", "X", 1.5, 1.5, 1.5, 7, 1_000_000),
        ("S", "X", 2.5, 2.5, 2.5, 8, 2_000_000),
    ]


def test_one_column_may_be_two_fields(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **GOOD)
    assert read(path, columns={"ask": "mid"})["ask"].to_list() == [1.5, 2.5]


def test_mid_is_made_of_both_sides(tmp_path: Path) -> None:
    path = write(
        tmp_path, "t.parquet", ask=[3.0], bid=[2.0], dateTime=[datetime(1970, 1, 1, 0, 0, 1)]
    )
    found = read(path, source="S", symbol="X")
    assert found.select("ask", "bid", "mid", "event_us").rows() == [(3.0, 2.0, 2.5, 1_000_000)]


def test_numbers_count_through_all_files(tmp_path: Path) -> None:
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
    found = read(path)
    assert found["isTradable"].to_list() == [False, None]
    assert found["askMarkup"].to_list() == [None, 0.5]
    assert found["received_us"].to_list() == [None, START_US + 1_386_000]
    assert "bidMarkup" not in found.columns


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("mid", ["1.5", None], r"row 2: column mid is empty; mend"),
        ("mid", ["1.5", "high"], r"row 2: column mid says 'high', which is no finite number"),
        ("mid", ["NaN", "1.5"], r"row 1: column mid says 'NaN', which is no finite number"),
        ("mid", ["1.5", "inf"], r"row 2: column mid says 'inf'"),
        ("number", ["1", "1.5"], r"row 2: column number says '1.5', which is no whole number"),
        ("number", ["1", None], r"row 2: column number is empty"),
        ("source", ["S", None], r"row 2: column source is empty"),
        ("isTradable", ["true", "maybe"], r"'maybe', which is no true or false"),
        ("dateTime", ["2025-03-20T14:31:28", "12:00"], r"'12:00', which is no date; .*time-unit"),
        ("dateTime", ["2025-03-20T14:31:28", None], r"row 2: column dateTime is empty; mend"),
    ],
)
def test_a_bad_row_is_named_or_left_out_and_counted(
    ending: str, column: str, values: list[str | None], told: str, tmp_path: Path
) -> None:
    path = write(tmp_path, f"t.{ending}", **{**GOOD, column: values})
    with pytest.raises(FeedError, match=told) as raised:
        read(path)
    assert str(path) in str(raised.value)
    assert "--skip-invalid-rows" in str(raised.value)
    recording = Recording([path, path], Layout(skip=True))
    assert [frame.height for frame in recording.frames()] == [1, 1]
    assert recording.skipped == 2
    assert recording.count() is None


def test_a_bad_row_is_counted_over_batches(ticks: pl.DataFrame, tmp_path: Path) -> None:
    mid = ticks["mid"].scatter(BATCH + 99, None)
    path = tmp_path / "t.parquet"
    ticks.with_columns(mid=mid).write_parquet(path)
    with pytest.raises(FeedError, match=f"row {BATCH + 100}: column mid is empty"):
        read(path)


def test_rows_left_out_are_not_numbered(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **{**GOOD, "mid": [None, 1.0]})
    assert read(path, skip=True)["number"].to_list() == [1]


@pytest.mark.parametrize(
    ("drop", "told"),
    [
        ("source", r"has no column source, only .*--source"),
        ("symbol", r"has no column symbol, only .*--symbol"),
        ("dateTime", r"has no column dateTime, only .*--column dateTime="),
        ("mid", r"has no column mid, only .*both ask and bid"),
    ],
)
def test_a_missing_column_is_named(drop: str, told: str, tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **{k: v for k, v in GOOD.items() if k != drop})
    with pytest.raises(FeedError, match=told):
        Recording([path], Layout())


def test_a_mapped_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", **GOOD)
    with pytest.raises(FeedError, match=r"no column price, only .*--column mid="):
        Recording([path], Layout(columns={"mid": "price"}))
    with pytest.raises(SettingError, match="a tick has no field open"):
        Layout(columns={"open": "mid"})


def test_dates_in_numbers_want_a_unit(tmp_path: Path) -> None:
    path = write(tmp_path, "t.parquet", **{**GOOD, "dateTime": [1, 2]})
    with pytest.raises(FeedError, match=r"column dateTime holds numbers .*--time-unit"):
        Recording([path], Layout())
    lists = write(tmp_path, "l.parquet", **{**GOOD, "dateTime": [[1], [2]]})
    with pytest.raises(FeedError, match=r"holds List.*no date"):
        Recording([lists], Layout())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.parquet", b"no parquet", "cannot be read"),
        ("t.csv", b"", "cannot be read"),
        ("t.csv.gz", b"no gzip", "(cannot be read|has no column)"),
        ("t.xlsx", b"", "no ending that tells its format"),
        ("t.parquet.gz", b"", "no ending that tells its format"),
        ("ticks", b"", "no ending that tells its format"),
        ("gz", b"", "no ending that tells its format"),
    ],
)
def test_a_file_that_is_none_is_named(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FeedError, match=told) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"there is no file .*t\.csv"):
        Recording([tmp_path / "t.csv"], Layout())


def test_a_broken_line_of_json_is_named(tmp_path: Path) -> None:
    line = json.dumps({name: values[0] for name, values in GOOD.items()})
    path = tmp_path / "t.ndjson"
    path.write_text("\n".join([line] * 2_000 + [line[:20], line]), encoding="utf-8")
    with pytest.raises(FeedError, match=r"t\.ndjson cannot be read from line 2001 "):
        read(path)


def test_a_cut_off_file_is_an_error(ticks: pl.DataFrame, tmp_path: Path) -> None:
    for name in ("t.csv.gz", "t.ndjson.gz", "t.parquet"):
        path = tmp_path / name
        WRITE[path.suffix](ticks, path)
        path.write_bytes(path.read_bytes()[:-2_000])
        with pytest.raises(FeedError, match="cannot be read"):
            read(path)


def test_names_with_stars_are_names(tmp_path: Path) -> None:
    for ending in ("csv", "parquet", "ndjson"):
        write(tmp_path, f"ab.{ending}", **GOOD)
        star = write(tmp_path, f"[a]*.{ending}", **{**GOOD, "symbol": ["Y", "Y"]})
        assert set(read(star)["symbol"]) == {"Y"}


def test_semicolons_between_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pl.DataFrame(GOOD).write_csv(path, separator=";")
    [frame] = Recording([path], Layout(), ";").frames()
    assert frame["mid"].to_list() == [1.5, 2.5]
