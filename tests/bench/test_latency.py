"""The first candle record that includes a tick."""

import polars as pl
import pytest

from bench.latency import waits


def ticks(*created_us: int, symbol: str = "A") -> pl.DataFrame:
    return pl.DataFrame(
        {"source": "S", "symbol": symbol, "created_us": created_us, "kafka_us": created_us}
    )


def candles(*closes: tuple[int, int], symbol: str = "A") -> pl.DataFrame:
    """Candle records from pairs of closing tick and read time."""
    return pl.DataFrame(
        [("S", symbol, number, read_us) for number, read_us in closes],
        schema=["source", "symbol", "closeNumber", "read_us"],
        orient="row",
    )


@pytest.mark.parametrize(
    ("created_us", "closes", "read_us"),
    [
        pytest.param([10], [(10, 50)], [50], id="the closing tick"),
        pytest.param([8, 9, 10], [(10, 50)], [50, 50, 50], id="ticks before the closing tick"),
        pytest.param([8, 12], [(10, 50), (20, 90)], [50, 90], id="the next record"),
        pytest.param([8], [(10, 50), (10, 70)], [50], id="a repeated close"),
        pytest.param([12], [(10, 50)], [None], id="no record yet"),
    ],
)
def test_a_tick_is_readable_with_the_first_record_that_includes_it(
    created_us: list[int], closes: list[tuple[int, int]], read_us: list[int | None]
) -> None:
    assert waits(ticks(*created_us), candles(*closes))["read_us"].to_list() == read_us


def test_series_are_separate() -> None:
    both = pl.concat([ticks(8, symbol="A"), ticks(9, symbol="B")])
    records = pl.concat([candles((10, 50), symbol="A"), candles((10, 70), symbol="B")])
    result = waits(both, records).sort("symbol")
    assert result["read_us"].to_list() == [50, 70]
