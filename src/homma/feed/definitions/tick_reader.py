"""Records of a feed to ticks, by columns: what a feed definition says, applied. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from homma.core.decimals import half_sums
from homma.core.fields import TICK_FIELDS, TickField, TickKind
from homma.core.tick import JSON_SCHEMA
from homma.errors import FeedError
from homma.feed.definitions.definition import BY_NAME, FeedDefinition, FieldOrigin
from homma.feed.definitions.values import joined, present, read_values

#: The columns of instants in what is read: microseconds since the epoch.
INSTANTS: Final = {"dateTime": "event_us", "receiveDateTime": "received_us"}
_QUOTE: Final = tuple(field.json for field in TICK_FIELDS if field.required_of == "quote")
_VALUE_KINDS: Final = {
    "instant": "a date",
    "double": "a finite number",
    "long": "an integer",
    "boolean": "true or false",
    "decimal": "a decimal from 0 with up to 12 digits after the point",
    "string": "text",
}
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """What records are.

    `ticks` has a row for each record, with the fields of a tick that the definition has (instants
    as in INSTANTS), `is_tick` says which records are ticks by the definition's condition, and
    `error` why a record that should be a tick is none; `error_field` is
    the name of the field that the error is about.
    """

    ticks: pl.DataFrame
    is_tick: pl.Series
    error: pl.Series
    error_field: pl.Series


class TickReader:
    """Reads records by a definition.

    `source` and `symbol` are those of all ticks, unless the records have them.
    """

    def __init__(self, definition: FeedDefinition, source: str = "", symbol: str = "") -> None:
        given = {"source": source, "symbol": symbol}
        constants = {
            name: FieldOrigin(constant=text)
            for name, text in given.items()
            if text and not definition.fields.get(name, FieldOrigin()).paths
        }
        self.definition = replace(definition, fields={**definition.fields, **constants})
        self._where = pl.sql_expr(definition.where) if definition.where else None

    @property
    def paths(self) -> list[str]:
        """The paths or columns that are read."""
        of_fields = [path for origin in self.definition.fields.values() for path in origin.paths]
        of_condition = self._where.meta.root_names() if self._where is not None else []
        return list(dict.fromkeys([*of_fields, *of_condition]))

    @property
    def exact_paths(self) -> list[str]:
        """The paths of decimals."""
        return [
            path
            for name, origin in self.definition.fields.items()
            if BY_NAME[name].kind == "decimal"
            for path in origin.paths
        ]

    def read(self, records: pl.DataFrame) -> ReadRecords:
        """The ticks of records, which have a column for each path: texts, or a file's types."""
        is_tick = self._ticks_among(records)
        height = records.height
        columns: dict[str, pl.Series] = {}
        values: dict[str, pl.Series] = {}
        for name, origin in self.definition.fields.items():
            row = BY_NAME[name]
            column = _column(origin, records, row)
            columns[name] = column
            values[name] = read_values(row, origin, column)
        may_be_absent = _may_be_absent(values, height)
        error = pl.Series("error", [None], dtype=pl.String).new_from_index(0, height)
        error_field = error.alias("field")
        for name, value in values.items():
            # An optional field may be absent, but a value must be readable.
            is_wrong = is_tick & ~(
                value.is_not_null() | (columns[name].is_null() & may_be_absent[name])
            )
            rows = (is_wrong & error.is_null()).arg_true()
            if rows.len():
                problems = _problems(BY_NAME[name], columns[name].gather(rows))
                error = error.scatter(rows, problems)
                error_field = error_field.scatter(rows, pl.repeat(name, rows.len(), eager=True))
        named = {
            INSTANTS.get(BY_NAME[name].json, BY_NAME[name].json): value
            for name, value in values.items()
        }
        return ReadRecords(_with_quotes(pl.DataFrame(named)), is_tick, error, error_field)

    def _ticks_among(self, records: pl.DataFrame) -> pl.Series:
        if self._where is None:
            return pl.repeat(value=True, n=records.height, dtype=pl.Boolean, eager=True)
        try:
            is_tick = self._where.cast(pl.Boolean).fill_null(value=False)
            return records.select(is_tick.alias("is_tick")).to_series()
        except PolarsError as error:
            raise FeedError(
                f"the condition of the feed definition {self.definition.name} cannot be evaluated "
                f"({str(error).splitlines()[0]})",
                "compare texts with texts, as in type = '5'",
            ) from error


def _column(origin: FieldOrigin, records: pl.DataFrame, row: TickField) -> pl.Series:
    if not origin.paths:
        return pl.repeat(origin.constant, records.height, eager=True).alias(row.column)
    return present(origin, joined([records[path] for path in origin.paths]), row)


def _may_be_absent(values: Mapping[str, pl.Series], height: int) -> dict[str, pl.Series]:
    """By field: the records without it that may be ticks. A tick is a quote, a trade, or both."""
    nowhere = pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True)
    is_there: dict[TickKind, pl.Series] = {"quote": nowhere, "trade": nowhere}
    for row in TICK_FIELDS:
        if row.required_of and row.column in values:
            is_there[row.required_of] |= values[row.column].is_not_null()
    other: dict[TickKind | None, pl.Series] = {
        "quote": is_there["trade"],
        "trade": is_there["quote"],
    }
    return {
        row.column: nowhere if row.required else other.get(row.required_of, ~nowhere)
        for row in TICK_FIELDS
    }


def _problems(row: TickField, column: pl.Series) -> pl.Series:
    """What is wrong with values, as the end of a sentence."""
    kind = _VALUE_KINDS[row.kind]
    if row.json == "side":
        kind = "one of the values of the definition"
    shown = pl.lit(column.cast(pl.String)).str.head(_SHOWN)
    problem = pl.format("has '{}', which is not " + kind, shown)
    return pl.select(pl.coalesce(problem, pl.lit("is empty"))).to_series()


def _with_quotes(ticks: pl.DataFrame) -> pl.DataFrame:
    """Ticks with mid, ask and bid, each from the others where the definition does not have it."""
    if not set(ticks.columns) & set(_QUOTE):
        return ticks
    if "mid" not in ticks.columns:
        ticks = ticks.with_columns(half_sums(ticks["ask"], ticks["bid"]).alias("mid"))
    missing = {side: pl.col("mid") for side in ("ask", "bid") if side not in ticks.columns}
    return ticks.with_columns(**missing).cast({name: JSON_SCHEMA[name] for name in _QUOTE})
