"""Convert rows of recorded files to ticks: map columns to fields and fill in absent fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from homma.core.tick import FIELDS, FileTicks
from homma.errors import FeedError, SettingError
from homma.feed.definitions.definition import BY_NAME, FeedDefinition, FieldOrigin
from homma.feed.definitions.tick_reader import INSTANTS, TickReader
from homma.feed.definitions.values import present
from homma.feed.files import Layout
from homma.feed.instants import Unit

_NAME_OF: Final = {row.json: name for name, row in BY_NAME.items()}


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """How the columns of files map to the fields of a tick.

    columns: column names by field, where they differ. source, symbol: values for files without
    these columns. unit: the unit of dates that are numbers. separator: of the columns of CSV. skip:
    skip invalid rows instead of raising an error. definition: a feed definition, which says all of
    this but the values and whether to skip.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    symbol: str = ""
    unit: Unit = "text"
    separator: str = ","
    skip: bool = False
    definition: FeedDefinition | None = None

    def __post_init__(self) -> None:
        """Reject fields that a tick does not have."""
        for name in self.columns:
            if name not in FIELDS:
                raise SettingError(
                    f"column {name}={self.columns[name]}: a tick has no field {name}",
                    f"write FIELD=COLUMN, where FIELD is one of {', '.join(FIELDS)}",
                )
        if self.definition and self.columns:
            raise SettingError(
                f"--column does not go with the feed definition {self.definition.name}",
                "name the column in the definition",
            )

    @property
    def layout(self) -> Layout:
        """How the files are laid out."""
        if self.definition is None:
            return Layout(self.separator)
        definition = self.definition
        return Layout(definition.separator, definition.columns, definition.skip_lines)

    def reader(self, path: Path, schema: pl.Schema) -> TickReader:
        """The reader of a file with these columns. Raises FeedError if it lacks one."""
        definition = self.definition or FeedDefinition(
            path.name, "csv", _origins(path, schema, self), separator=self.separator
        )
        reader = TickReader(definition, self.source, self.symbol)
        for name in ("source", "symbol"):
            if name not in reader.definition.fields:
                raise FeedError(
                    f"the feed definition {definition.name} does not say the {name} of {path}",
                    f"set --{name}",
                )
        for column in reader.paths:
            if column not in schema and definition.format in ("csv", "parquet"):
                raise _missing(
                    path, column, schema, f"change the feed definition {definition.name}"
                )
        return reader


class RowParser:
    """Converts batches of one file to ticks. Raises FeedError if columns or values are invalid."""

    def __init__(self, path: Path, schema: pl.Schema, mapping: ColumnMapping) -> None:
        self._path = path
        self._mapping = mapping
        self._reader = mapping.reader(path, schema)
        self._rows = 0
        self._unchanged: dict[str, pl.Series] = {}
        #: Rows with missing or invalid values, and rows that are no ticks by the definition.
        self.skipped = 0
        self.not_ticks = 0

    @property
    def reader(self) -> TickReader:
        """What reads the columns of the file."""
        return self._reader

    def ticks(self, batch: pl.DataFrame, first_number: int) -> FileTicks:
        """The ticks of the next rows, numbered from `first_number` if the file has no numbers."""
        read = self._reader.read(self.filled(batch))
        invalid = read.error.is_not_null()
        if invalid.any() and not self._mapping.skip:
            raise self._invalid_row(read.error, read.error_field)
        ticks = read.ticks.filter(read.is_tick & ~invalid)
        self._rows += batch.height
        self.skipped += int(invalid.sum())
        self.not_ticks += batch.height - int(read.is_tick.sum())
        if "number" not in ticks.columns:
            numbers = pl.int_range(first_number, first_number + ticks.height, eager=True)
            ticks = ticks.with_columns(number=numbers)
        return ticks

    def filled(self, batch: pl.DataFrame) -> pl.DataFrame:
        """The next rows, with the last value in place of empty ones that mean unchanged."""
        for name, origin in self._reader.definition.fields.items():
            if origin.empty == "unchanged":
                [path] = origin.paths
                column = present(origin, batch[path], BY_NAME[name])
                before = self._unchanged.get(path, column.clear().extend_constant(None, 1))
                filled = pl.concat([before, column]).forward_fill()
                self._unchanged[path] = filled.tail(1)
                batch = batch.with_columns(filled.slice(1).alias(path))
        return batch

    def _invalid_row(self, error: pl.Series, error_field: pl.Series) -> FeedError:
        index = int(error.is_not_null().arg_true()[0])
        name, problem = str(error_field[index]), str(error[index])
        column = " and ".join(self._reader.definition.fields[name].paths)
        is_date = BY_NAME[name].json in INSTANTS and problem != "is empty"
        hint = (
            "write it as 2025-03-20T14:31:28.000, or set the unit of numbers with --time-unit"
            if is_date and self._mapping.definition is None
            else "fix the row"
        )
        return FeedError(
            f"{self._path}, row {self._rows + index + 1}: column {column} {problem}",
            f"{hint}, or skip invalid rows with --skip-invalid-rows",
        )


def _origins(path: Path, schema: pl.Schema, mapping: ColumnMapping) -> dict[str, FieldOrigin]:
    """The origin of each field that the file has, by the names of definitions."""
    columns = _columns(path, schema, mapping)
    return {
        _NAME_OF[name]: FieldOrigin((column,), unit=mapping.unit if name in INSTANTS else "text")
        for name, column in columns.items()
    }


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
    for name in INSTANTS:
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
