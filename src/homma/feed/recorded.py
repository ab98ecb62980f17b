"""A recorded file's rows as ticks: which column is which field, and what stands in for the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from homma.core.tick import FIELDS, JSON_SCHEMA
from homma.errors import FeedError, SettingError
from homma.feed.instants import Unit, recorded_us

_DATES: Final = {"dateTime": "event_us", "receiveDateTime": "received_us"}
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Layout:
    """How files are read.

    columns: the file's name of a tick's field, where it is another; source, symbol: of files
    without such a column; unit: of dates that are whole numbers; skip: leave out rows without a
    value, rather than refuse the file.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    symbol: str = ""
    unit: Unit = "text"
    skip: bool = False

    def __post_init__(self) -> None:
        """Refuse fields that a tick does not have."""
        for name in self.columns:
            if name not in JSON_SCHEMA:
                raise SettingError(
                    f"column {name}={self.columns[name]}: a tick has no field {name}",
                    f"write FIELD=COLUMN, where FIELD is one of {', '.join(JSON_SCHEMA)}",
                )


class Shape:
    """Turns the batches of one file into ticks; FeedError where its columns do not do.

    Ticks have source, symbol, ask, bid, mid, number, event_us, those of askMarkup, bidMarkup,
    isTradable and received_us that the file has, and no null in what a tick requires.
    """

    def __init__(self, path: Path, schema: pl.Schema, layout: Layout) -> None:
        self._path = path
        self._layout = layout
        self._columns = _columns(path, schema, layout)
        self._rows = 0
        self.skipped = 0

    @property
    def columns(self) -> list[str]:
        """The file's columns that are read."""
        return list(dict.fromkeys(self._columns.values()))

    def ticks(self, batch: pl.DataFrame, first_number: int) -> pl.DataFrame:
        """The ticks of the next rows; `first_number` numbers them where the file does not."""
        read = {name: batch[column] for name, column in self._columns.items()}
        values = {_DATES.get(name, name): self._value(name, read[name]) for name in read}
        complete = pl.repeat(value=True, n=batch.height, dtype=pl.Boolean, eager=True)
        for name, column in read.items():
            value = values[_DATES.get(name, name)]
            # An optional field may be absent; none may be there and unreadable.
            fine = (
                value.is_not_null() if _required(name) else value.is_not_null() | column.is_null()
            )
            if not fine.all():
                if not self._layout.skip:
                    raise self._bad(name, column, fine)
                complete = complete & fine
        ticks = self._completed(pl.DataFrame(values), batch.height).filter(complete)
        self._rows += batch.height
        self.skipped += batch.height - ticks.height
        if "number" not in values:
            count = pl.int_range(first_number, first_number + ticks.height, eager=True)
            ticks = ticks.with_columns(number=count)
        return ticks

    def _value(self, name: str, column: pl.Series) -> pl.Series:
        if name in _DATES:
            return recorded_us(column, self._layout.unit)
        dtype = JSON_SCHEMA[name]
        if dtype == pl.Boolean and column.dtype == pl.String:
            return column.str.to_lowercase().replace_strict(
                _TRUTH, default=None, return_dtype=pl.Boolean
            )
        if dtype == pl.Float64:
            if column.dtype == pl.String:
                column = column.str.strip_chars()
            value = column.cast(pl.Float64, strict=False)
            # JSON has no word for the others.
            return value.set(~value.is_finite(), None)
        return column.cast(dtype, strict=False)

    def _completed(self, ticks: pl.DataFrame, height: int) -> pl.DataFrame:
        """With the fields that other fields or the settings give."""
        made: dict[str, pl.Expr] = {}
        if "mid" not in ticks.columns:
            made["mid"] = (pl.col("ask") + pl.col("bid")) / 2
        for side in ("ask", "bid"):
            if side not in ticks.columns:
                made[side] = pl.col("mid")
        for name, value in (("source", self._layout.source), ("symbol", self._layout.symbol)):
            if name not in ticks.columns:
                made[name] = pl.repeat(value, height)
        return ticks.with_columns(**made)

    def _bad(self, name: str, column: pl.Series, fine: pl.Series) -> FeedError:
        at = int((~fine).arg_true()[0])
        value = column[at]
        says = (
            "is empty" if value is None else f"says {str(value)[:40]!r}, which is no {_kind(name)}"
        )
        hint = (
            "mend the row"
            if name not in _DATES or value is None
            else (
                "write it as 2025-03-20T14:31:28.000, or say with --time-unit what a number counts"
            )
        )
        return FeedError(
            f"{self._path}, row {self._rows + at + 1}: column {self._columns[name]} {says}",
            f"{hint}, or leave such rows out with --skip-invalid-rows",
        )


def _required(name: str) -> bool:
    return next(field.required for field in FIELDS if field.name == name)


def _kind(name: str) -> str:
    if name in _DATES:
        return "date"
    kinds = {pl.Float64: "finite number", pl.Int64: "whole number", pl.Boolean: "true or false"}
    return kinds.get(type(JSON_SCHEMA[name]), "text")


def _columns(path: Path, schema: pl.Schema, layout: Layout) -> dict[str, str]:
    """The file's column of each field it has."""
    found: dict[str, str] = {}
    for name in JSON_SCHEMA:
        column = layout.columns.get(name, name)
        if column in schema:
            found[name] = column
        elif name in layout.columns:
            raise _absent(path, column, schema, f"give --column {name}=… another")
    for name, given in (("source", layout.source), ("symbol", layout.symbol)):
        if name not in found and not given:
            raise _absent(
                path, name, schema, f"name one with --column {name}=…, or give it with --{name}"
            )
    if "dateTime" not in found:
        raise _absent(path, "dateTime", schema, "name one with --column dateTime=…")
    if "mid" not in found and not {"ask", "bid"} <= found.keys():
        raise _absent(path, "mid", schema, "name one with --column mid=…, or both ask and bid")
    for name in _DATES:
        if name in found:
            _check_date(path, found[name], schema[found[name]], layout)
    return found


def _absent(path: Path, column: str, has: Sequence[str] | pl.Schema, remedy: str) -> FeedError:
    return FeedError(f"{path} has no column {column}, only {', '.join(has)}", remedy)


def _check_date(path: Path, column: str, dtype: pl.DataType, layout: Layout) -> None:
    if dtype.is_numeric() and layout.unit == "text":
        raise FeedError(
            f"{path}: column {column} holds numbers where dates are wanted",
            "say with --time-unit whether they are s, ms, us or ns since 1970",
        )
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Date) or isinstance(dtype, pl.Datetime)):
        raise FeedError(
            f"{path}: column {column} holds {dtype}, which is no date",
            "name another with --column dateTime=…",
        )
