"""The rows that the views of candles have to show."""

from typing import Any

import polars as pl

from homma.rendered.trino import CANDLE_VIEW


def as_view(candles: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Rows of a table of candles as rows of its view, in the same order."""
    return [
        tuple(_seen(row)[name] for name in CANDLE_VIEW) for row in candles.iter_rows(named=True)
    ]


def _seen(row: dict[str, Any]) -> dict[str, Any]:
    size, turnover = row["traded_volume"], row["turnover"]
    return row | {
        "volume": row["volume"] if size is None else size,
        "vwap": float(turnover) / float(size) if size else None,
    }
