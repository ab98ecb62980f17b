"""The twelve tables: columns, unique keys, partitions and sort order. Pure.

Instants are UTC, in microseconds. `homma.lake.table` creates the tables.
"""

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from homma.core.interval import DAY_US, INTERVALS, MINUTE_US, Interval

Kind = Literal["string", "double", "long", "int", "boolean", "timestamptz"]
Transform = Literal["identity", "day", "month"]

INSTANT: Final = pl.Datetime("us", "UTC")
_DTYPES: Final[dict[Kind, pl.DataType]] = {
    "string": pl.String(),
    "double": pl.Float64(),
    "long": pl.Int64(),
    "int": pl.Int32(),
    "boolean": pl.Boolean(),
    "timestamptz": INSTANT,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `json` is the field of the record, empty for partition and offset."""

    name: str
    kind: Kind
    required: bool
    comment: str
    json: str = ""


@dataclass(frozen=True, slots=True)
class PartitionBy:
    """A partition field: rows with different transformed values are in different files."""

    column: str
    transform: Transform


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The definition of a table. `interval` is the index in INTERVALS, None for ticks."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitions: tuple[PartitionBy, ...]
    sort: tuple[str, ...]
    interval: int | None = None

    @property
    def schema(self) -> pl.Schema:
        """The schema of a frame of rows."""
        return pl.Schema({column.name: _DTYPES[column.kind] for column in self.columns})


SERIES: Final = (
    Column("source", "string", True, "source of the ticks, e.g. a broker or an exchange", "source"),
    Column("symbol", "string", True, "instrument, e.g. EURUSD", "symbol"),
)
TICK_COLUMNS: Final = (
    *SERIES,
    Column("date_time", "timestamptz", True, "event time of the tick", "dateTime"),
    Column(
        "number",
        "long",
        True,
        "sequence number: orders ticks of a series with equal date_time",
        "number",
    ),
    Column("ask", "double", True, "ask price", "ask"),
    Column("bid", "double", True, "bid price", "bid"),
    Column("mid", "double", True, "mid price", "mid"),
    Column("ask_markup", "double", False, "markup on the ask price, 0 if absent", "askMarkup"),
    Column("bid_markup", "double", False, "markup on the bid price, 0 if absent", "bidMarkup"),
    Column(
        "is_tradable",
        "boolean",
        False,
        "whether the quote could be traded on; true if absent",
        "isTradable",
    ),
    Column(
        "receive_date_time",
        "timestamptz",
        False,
        "when the source's gateway received the tick",
        "receiveDateTime",
    ),
    Column(
        "kafka_partition", "int", True, "Kafka partition of the record; -1 for ticks from a file"
    ),
    Column(
        "kafka_offset", "long", True, "Kafka offset of the record; row number for ticks from a file"
    ),
)
CANDLE_COLUMNS: Final = (
    *SERIES,
    Column("date_time", "timestamptz", True, "start of the interval", "dateTime"),
    Column("open", "double", True, "price of the first tick", "open"),
    Column("high", "double", True, "highest price", "high"),
    Column("low", "double", True, "lowest price", "low"),
    Column("close", "double", True, "price of the last tick", "close"),
    Column("volume", "long", True, "number of ticks", "volume"),
    Column("open_date_time", "timestamptz", False, "event time of the first tick", "openDateTime"),
    Column("open_number", "long", False, "number of the first tick", "openNumber"),
    Column("close_date_time", "timestamptz", False, "event time of the last tick", "closeDateTime"),
    Column("close_number", "long", False, "number of the last tick", "closeNumber"),
    Column(
        "is_final",
        "boolean",
        True,
        "whether the candle is final: only late ticks can change it",
        "isFinal",
    ),
    Column(
        "revision",
        "int",
        False,
        "0 while open, 1 when final, and one more with each correction",
        "revision",
    ),
    Column(
        "update_date_time",
        "timestamptz",
        False,
        "wall-clock time at which the engine wrote the candle",
        "updateDateTime",
    ),
)
#: The unique key of a candle table.
CANDLE_KEY: Final = ("source", "symbol", "date_time")

TICKS: Final = TableSpec(
    name="stock_ticks_iceberg",
    comment="every valid record of the tick topic, including duplicates and late ticks",
    columns=TICK_COLUMNS,
    key=("kafka_partition", "kafka_offset"),
    partitions=(PartitionBy("date_time", "day"),),
    sort=("source", "symbol", "date_time", "number"),
)


def _candle_partitions(interval: Interval) -> tuple[PartitionBy, ...]:
    # Open rows are in small files of their own, which every commit replaces.
    final = PartitionBy("is_final", "identity")
    if interval.longest_us <= 30 * MINUTE_US:
        return (final, PartitionBy("date_time", "day"))
    return (final, PartitionBy("date_time", "month")) if interval.longest_us < DAY_US else (final,)


CANDLES: Final = tuple(
    TableSpec(
        name=f"candle_{interval.name}_iceberg",
        comment=f"candles of {interval.name}, one row per candle, including open candles",
        columns=CANDLE_COLUMNS,
        key=CANDLE_KEY,
        partitions=_candle_partitions(interval),
        sort=CANDLE_KEY,
        interval=code,
    )
    for code, interval in enumerate(INTERVALS)
)
TABLES: Final = (TICKS, *CANDLES)
BY_NAME: Final = {table.name: table for table in TABLES}
