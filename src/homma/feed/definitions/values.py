"""Values of a field as a feed writes them, by columns: texts and numbers to the type of a tick."""

from typing import Final

import polars as pl

from homma.core.decimals import DECIMAL, FRACTION_DIGITS, parse_sizes, text
from homma.core.fields import TickField
from homma.feed.definitions.definition import FieldOrigin
from homma.feed.instants import parse_dates_us

_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def read_values(row: TickField, origin: FieldOrigin, column: pl.Series) -> pl.Series:
    """The values of a field; null where the column is null, or has no such value.

    Instants are microseconds since the epoch.
    """
    if row.kind == "instant":
        return parse_dates_us(column, origin.unit, origin.pattern, origin.zone)
    if row.kind == "boolean":
        return _booleans(column, origin)
    if row.kind == "string":
        return _names(column, origin)
    if row.kind == "long":
        return column.cast(pl.Int64, strict=False)
    return (_decimals if row.kind == "decimal" else _doubles)(column, origin)


def present(origin: FieldOrigin, column: pl.Series, row: TickField) -> pl.Series:
    """The column with null for the values that stand for none."""
    if origin.nulls:
        column = column.set(column.cast(pl.String).is_in(list(origin.nulls)), None)
    # An empty text is a value only of names.
    if column.dtype == pl.String and row.kind != "string":
        column = column.set(column.str.strip_chars() == "", None)
    return column


def joined(columns: list[pl.Series]) -> pl.Series:
    """The texts of columns with a space between them; null if one is null."""
    first, *others = columns
    if not others:
        return first
    texts = pl.concat_str(*(pl.lit(c.cast(pl.String)) for c in columns), separator=" ")
    return pl.select(texts.alias(first.name)).to_series()


def _names(column: pl.Series, origin: FieldOrigin) -> pl.Series:
    texts = column.cast(pl.String)
    for old, new in origin.replace.items():
        texts = texts.str.replace_all(old, new, literal=True)
    if origin.values:
        texts = texts.replace_strict(origin.values, default=None, return_dtype=pl.String)
    return texts


def _booleans(column: pl.Series, origin: FieldOrigin) -> pl.Series:
    if origin.values:
        values = {text: _BOOLEANS.get(value.lower()) for text, value in origin.values.items()}
        return column.cast(pl.String).replace_strict(values, default=None, return_dtype=pl.Boolean)
    if column.dtype == pl.String:
        return column.str.to_lowercase().replace_strict(
            _BOOLEANS, default=None, return_dtype=pl.Boolean
        )
    return column.cast(pl.Boolean, strict=False)


def _plain(column: pl.Series, origin: FieldOrigin) -> pl.Series:
    """Texts of numbers as this program writes them."""
    if column.dtype != pl.String:
        return column
    texts = column.str.strip_chars()
    if origin.decimal != ".":
        # A point would be a separator of thousands.
        texts = texts.set(texts.str.contains(".", literal=True), None)
        texts = texts.str.replace(origin.decimal, ".", literal=True)
    return texts


def _doubles(column: pl.Series, origin: FieldOrigin) -> pl.Series:
    numbers = _plain(column, origin)
    if origin.scale_digits:
        # A division by a power of ten gives the nearest double, a multiplication does not.
        scaled = numbers.cast(pl.Int64, strict=False).cast(pl.Float64)
        power = pl.repeat(10.0**origin.scale_digits, scaled.len(), eager=True)
        values = scaled / power
    else:
        values = numbers.cast(pl.Float64, strict=False)
    # JSON cannot represent infinity and NaN.
    return values.set(~values.is_finite(), None).alias(column.name)


def _decimals(column: pl.Series, origin: FieldOrigin) -> pl.Series:
    """The exact decimals of a column: a double counts as its shortest decimal."""
    numbers = _plain(column, origin)
    if origin.scale_digits:
        whole = numbers.cast(pl.Int64, strict=False)
        units = whole.cast(pl.Int128) * 10 ** (FRACTION_DIGITS - origin.scale_digits)
        sizes: pl.Series = units.set(whole < 0, None).reinterpret(dtype=DECIMAL)
        return sizes
    if numbers.dtype == pl.String:
        return parse_sizes(numbers)
    texts = text(pl.col(column.name)) if numbers.dtype.is_decimal() else pl.col(column.name)
    return parse_sizes(numbers.to_frame().select(texts.cast(pl.String)).to_series())
