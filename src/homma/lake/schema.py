"""The tables: columns, unique keys, partitions and sort order. Pure.

Columns derive from `core/fields.py` and are matched by name, whatever their order in a table.
Instants are UTC, in microseconds. `homma.lake.table` creates the tables.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import polars as pl

from homma.core.calendar import Calendar
from homma.core.decimals import DECIMAL
from homma.core.fields import CANDLE_FIELDS, TICK_FIELDS, CandleField, TickField, TickKind
from homma.core.interval import DAY_US, MINUTE_US, Interval

Kind = Literal["string", "double", "decimal", "long", "int", "boolean", "timestamptz"]
Transform = Literal["identity", "day", "month"]

INSTANT: Final = pl.Datetime("us", "UTC")
_DTYPES: Final[dict[Kind, pl.DataType]] = {
    "string": pl.String(),
    "double": pl.Float64(),
    "decimal": DECIMAL,
    "long": pl.Int64(),
    "int": pl.Int32(),
    "boolean": pl.Boolean(),
    "timestamptz": INSTANT,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `json` is the field of the record, empty for partition and offset.

    Where the column is null or missing, readers take the column `if_null` instead. A column `of`
    quotes or trades has values only for these.
    """

    name: str
    kind: Kind
    required: bool
    comment: str
    json: str = ""
    if_null: str = ""
    of: TickKind | None = None


@dataclass(frozen=True, slots=True)
class PartitionBy:
    """A partition field: rows with different transformed values are in different files."""

    column: str
    transform: Transform


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The definition of a table. `interval` is that of its candles, None for ticks."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitions: tuple[PartitionBy, ...]
    sort: tuple[str, ...]
    interval: Interval | None = None

    @property
    def schema(self) -> pl.Schema:
        """The schema of a frame of rows."""
        return schema_of(self.columns)


def schema_of(columns: Iterable[Column]) -> pl.Schema:
    """The schema of a frame with these columns."""
    return pl.Schema({column.name: _DTYPES[column.kind] for column in columns})


#: The names of the series and the start: the unique key of a candle table.
CANDLE_KEY: Final = ("source", "symbol", "date_time")
_TICK_KEY: Final = (*CANDLE_KEY, "number")
#: The columns that say where in Kafka a tick's record is.
KAFKA_COLUMNS: Final = (
    Column(
        "kafka_partition", "int", True, "Kafka partition of the record; -1 for ticks from a file"
    ),
    Column(
        "kafka_offset", "long", True, "Kafka offset of the record; row number for ticks from a file"
    ),
)


def _tick_columns() -> tuple[Column, ...]:
    """The columns of the fields of a tick, its order key first, and of its record's position."""
    columns = {
        f.column: Column(f.column, _kind(f), f.required, f.meaning, f.json, of=f.of)
        for f in TICK_FIELDS
    }
    key = tuple(columns.pop(name) for name in _TICK_KEY)
    return (*key, *columns.values(), *KAFKA_COLUMNS)


def _kind(field: TickField | CandleField) -> Kind:
    return "timestamptz" if field.kind == "instant" else field.kind


TICK_COLUMNS: Final = _tick_columns()
CANDLE_COLUMNS: Final = tuple(
    Column(f.column, _kind(f), f.required, f.meaning, f.json, f.if_absent, f.of)
    for f in CANDLE_FIELDS
)
SERIES: Final = CANDLE_COLUMNS[:2]

TICK_ROW: Final = schema_of(TICK_COLUMNS)
#: Rows of the tick table.
TickRows: TypeAlias = pl.DataFrame

CANDLE_ROW: Final = schema_of(CANDLE_COLUMNS)
#: Rows of the candle table of one interval.
CandleRows: TypeAlias = pl.DataFrame

TICKS: Final = TableSpec(
    name="stock_ticks_iceberg",
    comment="every valid record of the tick topic, including duplicates and late ticks",
    columns=TICK_COLUMNS,
    key=("kafka_partition", "kafka_offset"),
    partitions=(PartitionBy("date_time", "day"),),
    sort=_TICK_KEY,
)


def _candle_partitions(interval: Interval) -> tuple[PartitionBy, ...]:
    # Open rows are in small files of their own, which every commit replaces.
    final = PartitionBy("is_final", "identity")
    if interval.longest_us <= 30 * MINUTE_US:
        return (final, PartitionBy("date_time", "day"))
    return (final, PartitionBy("date_time", "month")) if interval.longest_us < DAY_US else (final,)


def candle_table(interval: Interval) -> TableSpec:
    """The table of an interval's candles."""
    return TableSpec(
        name=f"candle_{interval.name}_iceberg",
        comment=f"candles of {interval.name}, one row per candle, including open candles",
        columns=CANDLE_COLUMNS,
        key=CANDLE_KEY,
        partitions=_candle_partitions(interval),
        sort=CANDLE_KEY,
        interval=interval,
    )


def candle_tables(calendar: Calendar) -> tuple[TableSpec, ...]:
    """The candle tables of a calendar, finest first."""
    return tuple(candle_table(interval) for interval in calendar)


def tables(calendar: Calendar) -> tuple[TableSpec, ...]:
    """All tables of a calendar, that of ticks first."""
    return (TICKS, *candle_tables(calendar))
