"""How ticks and candles become one candle, field by field. Pure."""

import polars as pl

from homma.core.fields import CandleField


def merged(field: CandleField) -> pl.Expr:
    """The expression that merges a field's column over candles with the same key."""
    column = pl.col(field.column)
    match field.merge:
        case "first":
            return column.min_by("open_order_key")
        case "last":
            return column.max_by("close_order_key")
        case "max":
            return column.max()
        case "min":
            return column.min()
        case _:
            return column.sum()


def of_ticks(field: CandleField) -> pl.Expr:
    """The expression that computes a field over ticks (columns of core's KEYED_TICK)."""
    if field.of_tick == "one":
        return pl.len().cast(field.dtype).alias(field.column)
    value = pl.col(field.of_tick or "")
    match field.merge:
        case "first":
            expression = value.min_by("order_key")
        case "last":
            expression = value.max_by("order_key")
        case "max":
            expression = value.max()
        case "min":
            expression = value.min()
        case _:
            expression = value.sum()
    return expression.alias(field.column)


def of_one_tick(field: CandleField) -> pl.Expr:
    """A field of a candle that consists of one tick (columns of core's KEYED_TICK)."""
    is_count = field.of_tick == "one"
    value = pl.lit(1, field.dtype) if is_count else pl.col(field.of_tick or "")
    return value.alias(field.column)
