"""Which candle record was the first that had a tick."""

import polars as pl
import pytest

from bench.latency import waits


def ticks(*made_us: int, symbol: str = "A") -> pl.DataFrame:
    return pl.DataFrame({"source": "S", "symbol": symbol, "made_us": made_us, "kept_us": made_us})


def candles(*closes: tuple[int, int], symbol: str = "A") -> pl.DataFrame:
    """Closing tick and when the record was read."""
    return pl.DataFrame(
        [("S", symbol, number, read_us) for number, read_us in closes],
        schema=["source", "symbol", "closeNumber", "read_us"],
        orient="row",
    )


@pytest.mark.parametrize(
    ("made_us", "closes", "read_us"),
    [
        pytest.param([10], [(10, 50)], [50], id="the tick that closes"),
        pytest.param([8, 9, 10], [(10, 50)], [50, 50, 50], id="ticks before it"),
        pytest.param([8, 12], [(10, 50), (20, 90)], [50, 90], id="the next record"),
        pytest.param([8], [(10, 50), (10, 70)], [50], id="a candle closed later"),
        pytest.param([12], [(10, 50)], [None], id="not read any more"),
    ],
)
def test_a_tick_is_readable_with_the_first_record_that_has_it(
    made_us: list[int], closes: list[tuple[int, int]], read_us: list[int | None]
) -> None:
    assert waits(ticks(*made_us), candles(*closes))["read_us"].to_list() == read_us


def test_series_are_told_apart() -> None:
    both = pl.concat([ticks(8, symbol="A"), ticks(9, symbol="B")])
    records = pl.concat([candles((10, 50), symbol="A"), candles((10, 70), symbol="B")])
    found = waits(both, records).sort("symbol")
    assert found["read_us"].to_list() == [50, 70]
