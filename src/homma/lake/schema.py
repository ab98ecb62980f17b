"""The twelve tables: their columns, what is unique in them, how they are cut and sorted.

Pure. Instants are UTC, microseconds. `homma.lake.table` makes them so.
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
    """A column; `json` is the record's field it comes from, empty for Kafka's own."""

    name: str
    kind: Kind
    required: bool
    comment: str
    json: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """A partition field: rows with equal transformed values stand in files of their own."""

    column: str
    transform: Transform


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table as it should be. `interval` is the place in INTERVALS, None for ticks."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    cuts: tuple[Cut, ...]
    sort: tuple[str, ...]
    interval: int | None = None

    @property
    def schema(self) -> pl.Schema:
        """What a frame of its rows looks like."""
        return pl.Schema({column.name: _DTYPES[column.kind] for column in self.columns})


SERIES: Final = (
    Column("source", "string", True, "who quoted", "source"),
    Column("symbol", "string", True, "what was quoted", "symbol"),
)
TICK_COLUMNS: Final = (
    *SERIES,
    Column("date_time", "timestamptz", True, "event time", "dateTime"),
    Column("number", "long", True, "grows with time within a source", "number"),
    Column("ask", "double", True, "ask price", "ask"),
    Column("bid", "double", True, "bid price", "bid"),
    Column("mid", "double", True, "mid price", "mid"),
    Column("ask_markup", "double", False, "markup on the ask price, 0 if absent", "askMarkup"),
    Column("bid_markup", "double", False, "markup on the bid price, 0 if absent", "bidMarkup"),
    Column("is_tradable", "boolean", False, "whether it could be traded on", "isTradable"),
    Column(
        "receive_date_time",
        "timestamptz",
        False,
        "when the source's gateway received it",
        "receiveDateTime",
    ),
    Column("kafka_partition", "int", True, "partition of its record; -1: from a file"),
    Column("kafka_offset", "long", True, "offset of its record; of a file's: its row"),
)
CANDLE_COLUMNS: Final = (
    *SERIES,
    Column("date_time", "timestamptz", True, "start of the interval", "dateTime"),
    Column("open", "double", True, "price of the first tick", "open"),
    Column("high", "double", True, "largest price", "high"),
    Column("low", "double", True, "smallest price", "low"),
    Column("close", "double", True, "price of the last tick", "close"),
    Column("volume", "long", True, "count of ticks", "volume"),
    Column("open_date_time", "timestamptz", False, "event time of the first tick", "openDateTime"),
    Column("open_number", "long", False, "number of the first tick", "openNumber"),
    Column("close_date_time", "timestamptz", False, "event time of the last tick", "closeDateTime"),
    Column("close_number", "long", False, "number of the last tick", "closeNumber"),
    Column("is_final", "boolean", True, "whether the interval is over", "isFinal"),
    Column(
        "revision",
        "int",
        False,
        "0 while open, 1 when first final, +1 with each correction",
        "revision",
    ),
    Column(
        "update_date_time",
        "timestamptz",
        False,
        "the engine's clock when it wrote the candle",
        "updateDateTime",
    ),
)
#: (source, symbol, date_time) of a candle.
CANDLE_KEY: Final = ("source", "symbol", "date_time")

TICKS: Final = TableSpec(
    name="stock_ticks_iceberg",
    comment="every valid record of the topic of ticks, duplicates and late ones included",
    columns=TICK_COLUMNS,
    key=("kafka_partition", "kafka_offset"),
    cuts=(Cut("date_time", "day"),),
    sort=("source", "symbol", "date_time", "number"),
)


def _candle_cuts(interval: Interval) -> tuple[Cut, ...]:
    # The open rows stand in small files of their own, replaced at every commit.
    final = Cut("is_final", "identity")
    if interval.longest_us <= 30 * MINUTE_US:
        return (final, Cut("date_time", "day"))
    return (final, Cut("date_time", "month")) if interval.longest_us < DAY_US else (final,)


CANDLES: Final = tuple(
    TableSpec(
        name=f"candle_{interval.name}_iceberg",
        comment=f"candles of {interval.name}, one row a candle, open ones included",
        columns=CANDLE_COLUMNS,
        key=CANDLE_KEY,
        cuts=_candle_cuts(interval),
        sort=CANDLE_KEY,
        interval=code,
    )
    for code, interval in enumerate(INTERVALS)
)
TABLES: Final = (TICKS, *CANDLES)
BY_NAME: Final = {table.name: table for table in TABLES}
