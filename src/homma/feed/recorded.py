"""Convert rows of recorded files to ticks: map columns to fields and fill in absent fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from homma.core.decimals import DECIMAL, parse_sizes, text
from homma.core.fields import TICK_FIELDS, TickKind
from homma.core.tick import FIELDS, FileTicks
from homma.errors import FeedError, SettingError
from homma.feed.instants import Unit, parse_dates_us

_QUOTE: Final = tuple(field.json for field in TICK_FIELDS if field.required_of == "quote")
_DATES: Final = {"dateTime": "event_us", "receiveDateTime": "received_us"}
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """How the columns of files map to the fields of a tick.

    columns: column names by field, where they differ. source, symbol: values for files without
    these columns. unit: the unit of dates that are numbers. skip: skip invalid rows instead of
    raising an error.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    symbol: str = ""
    unit: Unit = "text"
    skip: bool = False

    def __post_init__(self) -> None:
        """Reject fields that a tick does not have."""
        for name in self.columns:
            if name not in FIELDS:
                raise SettingError(
                    f"column {name}={self.columns[name]}: a tick has no field {name}",
                    f"write FIELD=COLUMN, where FIELD is one of {', '.join(FIELDS)}",
                )


class RowParser:
    """Converts batches of one file to ticks. Raises FeedError if columns or values are invalid."""

    def __init__(self, path: Path, schema: pl.Schema, mapping: ColumnMapping) -> None:
        self._path = path
        self._mapping = mapping
        self._columns = _columns(path, schema, mapping)
        self._rows = 0
        self.skipped = 0

    @property
    def columns(self) -> list[str]:
        """The columns of the file to read."""
        return list(dict.fromkeys(self._columns.values()))

    def ticks(self, batch: pl.DataFrame, first_number: int) -> FileTicks:
        """The ticks of the next rows, numbered from `first_number` if the file has no numbers."""
        columns = {name: batch[column] for name, column in self._columns.items()}
        values = {_DATES.get(name, name): self._value(name, columns[name]) for name in columns}
        is_valid = pl.repeat(value=True, n=batch.height, dtype=pl.Boolean, eager=True)
        may_be_absent = _may_be_absent(values, batch.height)
        for name, column in columns.items():
            value = values[_DATES.get(name, name)]
            # An optional field may be absent, but a value must be readable.
            is_readable = value.is_not_null() | (column.is_null() & may_be_absent[name])
            if not is_readable.all():
                if not self._mapping.skip:
                    raise self._invalid_row(name, column, is_readable)
                is_valid = is_valid & is_readable
        ticks = self._fill_in(pl.DataFrame(values), batch.height).filter(is_valid)
        self._rows += batch.height
        self.skipped += batch.height - ticks.height
        if "number" not in values:
            numbers = pl.int_range(first_number, first_number + ticks.height, eager=True)
            ticks = ticks.with_columns(number=numbers)
        return ticks

    def _value(self, name: str, column: pl.Series) -> pl.Series:
        if name in _DATES:
            return parse_dates_us(column, self._mapping.unit)
        dtype = FIELDS[name]
        if dtype == DECIMAL:
            return _sizes(column)
        if dtype == pl.Boolean and column.dtype == pl.String:
            return column.str.to_lowercase().replace_strict(
                _BOOLEANS, default=None, return_dtype=pl.Boolean
            )
        if dtype == pl.Float64:
            if column.dtype == pl.String:
                column = column.str.strip_chars()
            value = column.cast(pl.Float64, strict=False)
            # JSON cannot represent infinity and NaN.
            return value.set(~value.is_finite(), None)
        return column.cast(dtype, strict=False)

    def _fill_in(self, ticks: pl.DataFrame, height: int) -> pl.DataFrame:
        """Fill in absent fields from other fields or from the settings."""
        missing: dict[str, pl.Expr] = {}
        if set(ticks.columns) & set(_QUOTE):
            if "mid" not in ticks.columns:
                missing["mid"] = (pl.col("ask") + pl.col("bid")) / 2
            for side in ("ask", "bid"):
                if side not in ticks.columns:
                    missing[side] = pl.col("mid")
        for name, value in (("source", self._mapping.source), ("symbol", self._mapping.symbol)):
            if name not in ticks.columns:
                missing[name] = pl.repeat(value, height)
        return ticks.with_columns(**missing)

    def _invalid_row(self, name: str, column: pl.Series, is_readable: pl.Series) -> FeedError:
        index = int((~is_readable).arg_true()[0])
        value = column[index]
        problem = (
            "is empty" if value is None else f"has {str(value)[:40]!r}, which is not {_kind(name)}"
        )
        hint = (
            "fix the row"
            if name not in _DATES or value is None
            else "write it as 2025-03-20T14:31:28.000, or set the unit of numbers with --time-unit"
        )
        return FeedError(
            f"{self._path}, row {self._rows + index + 1}: column {self._columns[name]} {problem}",
            f"{hint}, or skip invalid rows with --skip-invalid-rows",
        )


def _may_be_absent(values: Mapping[str, pl.Series], height: int) -> dict[str, pl.Series]:
    """By field: the rows without it that may be ticks. A tick is a quote, a trade, or both."""
    nowhere = pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True)
    present: dict[TickKind, pl.Series] = {"quote": nowhere, "trade": nowhere}
    for row in TICK_FIELDS:
        if row.required_of and row.json in values:
            is_there = values[row.json].is_not_null()
            present[row.required_of] = present[row.required_of] | is_there
    other: dict[TickKind | None, pl.Series] = {
        "quote": present["trade"],
        "trade": present["quote"],
    }
    return {
        row.json: nowhere if row.required else other.get(row.required_of, ~nowhere)
        for row in TICK_FIELDS
    }


def _sizes(column: pl.Series) -> pl.Series:
    """The exact decimals of a column: a double counts as its shortest decimal."""
    if column.dtype == pl.String:
        return parse_sizes(column.str.strip_chars())
    texts = text(pl.col(column.name)) if column.dtype.is_decimal() else pl.col(column.name)
    return parse_sizes(column.to_frame().select(texts.cast(pl.String)).to_series())


def _kind(name: str) -> str:
    if name in _DATES:
        return "a date"
    kinds = {
        pl.Float64: "a finite number",
        pl.Int64: "an integer",
        pl.Boolean: "true or false",
        pl.Decimal: "a decimal from 0 with up to 12 digits after the point",
    }
    return kinds.get(type(FIELDS[name]), "text")


def _columns(path: Path, schema: pl.Schema, mapping: ColumnMapping) -> dict[str, str]:
    """The column of each field that the file has."""
    columns: dict[str, str] = {}
    for name in FIELDS:
        column = mapping.columns.get(name, name)
        if column in schema:
            columns[name] = column
        elif name in mapping.columns:
            raise _missing(path, column, schema, f"choose another column with --column {name}=…")
    for name, value in (("source", mapping.source), ("symbol", mapping.symbol)):
        if name not in columns and not value:
            raise _missing(
                path, name, schema, f"specify the column with --column {name}=…, or set --{name}"
            )
    if "dateTime" not in columns:
        raise _missing(path, "dateTime", schema, "specify the column with --column dateTime=…")
    if not columns.keys() & {"mid", "price"} and not {"ask", "bid"} <= columns.keys():
        raise _missing(
            path,
            "mid",
            schema,
            "specify the column with --column mid=…, or both ask and bid, or price for trades",
        )
    for name in _DATES:
        if name in columns:
            _check_date(path, columns[name], schema[columns[name]], mapping)
    return columns


def _missing(path: Path, column: str, columns: Sequence[str] | pl.Schema, remedy: str) -> FeedError:
    return FeedError(f"{path} has no column {column}, only {', '.join(columns)}", remedy)


def _check_date(path: Path, column: str, dtype: pl.DataType, mapping: ColumnMapping) -> None:
    if dtype.is_numeric() and mapping.unit == "text":
        raise FeedError(
            f"{path}: column {column} has numbers instead of dates",
            "set their unit with --time-unit: s, ms, us or ns since 1970",
        )
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Date) or isinstance(dtype, pl.Datetime)):
        raise FeedError(
            f"{path}: column {column} has type {dtype}, which is not a date",
            "choose another column with --column dateTime=…",
        )
