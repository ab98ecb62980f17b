"""Files of trades, and of quotes and trades."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.errors import FeedError
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording, Replay
from tests.support.real_ticks import FOLDER

CASE = FOLDER / "cases" / "k06_negative.csv"

ROWS = {
    "dateTime": ["2025-03-20T14:31:00", "2025-03-20T14:31:01", "2025-03-20T14:31:02"],
    "number": [1, 2, 3],
}


def sent(path: Path, **mapping: Any) -> list[dict[str, Any]]:
    """The records that a replay of a file sends, with numbers as texts."""
    recording = Recording([path], ColumnMapping(source="S", symbol="A", **mapping))
    replay, values = Replay(recording, float("inf")), list[bytes]()
    while (records := replay.take(0, 100)) is not None:
        values += records.values
    return [json.loads(value, parse_float=str, parse_int=str) for value in values]


@pytest.mark.parametrize(
    "size",
    [
        pl.Series(["0.100", "1e-12", "123456789012345678.123456789012"]),
        pl.Series(["0.1", "0.000000000001", "123456789012345678.123456789012"]).cast(
            pl.Decimal(38, 12)
        ),
    ],
)
def test_sizes_of_files_are_exact(tmp_path: Path, size: pl.Series) -> None:
    path = tmp_path / "trades.parquet"
    pl.DataFrame({**ROWS, "price": [1.5, 2.5, 3.5], "size": size}).write_parquet(path)
    records = sent(path)
    assert [r["size"] for r in records] == ["0.1", "0.000000000001", size.cast(pl.String)[2]]
    assert [r["price"] for r in records] == ["1.5", "2.5", "3.5"]
    assert not {"ask", "bid", "mid"} & records[0].keys()


def test_sizes_that_are_doubles_count_as_their_shortest_decimals(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    pl.DataFrame({**ROWS, "price": [1, 2, 3], "size": [0.1, 1e-7, 5.0]}).write_csv(path)
    assert [record["size"] for record in sent(path)] == ["0.1", "0.0000001", "5"]


def test_a_file_may_have_quotes_and_trades(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    columns = {"mid": [1.0, None, 3.0], "price": [None, 2.0, 3.5], "side": [None, "buy", None]}
    pl.DataFrame({**ROWS, **columns}).write_csv(path)
    quote, trade, both = sent(path)
    assert (quote["mid"], quote["bid"], quote["price"]) == ("1.0", "1.0", None)
    assert (trade["mid"], trade["price"], trade["side"]) == (None, "2.0", "buy")
    assert (both["mid"], both["price"]) == ("3.0", "3.5")


@pytest.mark.parametrize("size", ["-1", "0.1234567890123", "many", "1e18"])
def test_a_size_that_breaks_its_rule_names_the_row(tmp_path: Path, size: str) -> None:
    path = tmp_path / "trades.csv"
    pl.DataFrame({**ROWS, "price": [1, 2, 3], "size": ["1", size, "2"]}).write_csv(path)
    with pytest.raises(FeedError, match=rf"row 2: column size has '{size}', which is not a dec"):
        sent(path)
    assert [record["size"] for record in sent(path, skip=True)] == ["1", "2"]


@pytest.mark.skipif(not CASE.exists(), reason="the cases are missing (../shared/data)")
def test_negative_prices_are_sent_as_they_are() -> None:
    assert [record["mid"] for record in sent(CASE)] == ["0.01", "-1.43", "-37.63", "0.0", "1.1"]
