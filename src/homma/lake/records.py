"""Kafka's records as rows of the tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
from polars.exceptions import ComputeError

from homma.core.tick import instant_us
from homma.lake.newest import RECORD, ROW
from homma.lake.schema import CANDLE_COLUMNS, INSTANT, TICK_COLUMNS, TICKS, Column
from homma.topics import codec
from homma.topics.kafka.reading import Message
from homma.topics.ticks import parse_ticks

_KAFKAS: Final = ("kafka_partition", "kafka_offset")
#: What an absent field of a tick means.
_ABSENT: Final = {"ask_markup": 0.0, "bid_markup": 0.0, "is_tradable": True}


def ticks(batches: Mapping[int, list[Message]], max_future_us: int) -> pl.DataFrame:
    """The valid ticks among records of several partitions, as rows of their table."""
    found = [
        _tick_rows(partition, its.valid)
        for partition, its in parse_ticks(batches, max_future_us).items()
    ]
    return pl.concat([pl.DataFrame(schema=TICKS.schema), *found])


def _tick_rows(partition: int, valid: pl.DataFrame) -> pl.DataFrame:
    instants = {"date_time": pl.col("event_us"), "receive_date_time": pl.col("receive_us")}
    rows = valid.select(
        *(
            instants.get(column.name, pl.col(column.json or "offset")).alias(column.name)
            for column in TICK_COLUMNS
            if column.name not in _KAFKAS
        ),
        kafka_partition=pl.lit(partition),
        kafka_offset="offset",
    )
    filled = (pl.col(name).fill_null(value) for name, value in _ABSENT.items())
    return rows.with_columns(filled).cast(TICKS.schema)


@dataclass(frozen=True, slots=True)
class CandleRecords:
    """Records of a candle topic, tombstones too; `bad` are those that are neither."""

    records: pl.DataFrame
    bad: tuple[Message, ...]


def candles(messages: Sequence[Message]) -> CandleRecords:
    """Records of one partition of a candle topic."""
    bad: list[Message] = []
    full = [message for message in messages if message.value() is not None]
    try:
        fields = codec.candle_fields_from([m.value() or b"" for m in full])
    except ComputeError:
        bad += [m for m in full if not _is_candle(m)]
        full = [m for m in full if m not in bad]
        fields = codec.candle_fields_from([m.value() or b"" for m in full])
    rows = fields.select(_column(column) for column in CANDLE_COLUMNS)
    placed = _placed(rows.with_columns(gone=pl.lit(value=False)), full)
    lacking = pl.any_horizontal(
        pl.col(c.name).is_null() for c in CANDLE_COLUMNS if c.required and c.name != "is_final"
    )
    if placed.select(lacking.any()).item():
        bad += [full[n] for n in placed.with_row_index("n").filter(lacking)["n"]]
        placed = placed.filter(~lacking)
    tombstones, strange = _tombstones([m for m in messages if m.value() is None])
    return CandleRecords(pl.concat([placed, tombstones]).sort("offset"), (*bad, *strange))


def _column(column: Column) -> pl.Expr:
    if column.kind == "timestamptz":
        return instant_us(pl.col(column.json)).cast(INSTANT).alias(column.name)
    return pl.col(column.json).cast(ROW[column.name]).alias(column.name)


def _placed(rows: pl.DataFrame, messages: Sequence[Message]) -> pl.DataFrame:
    """With what Kafka says of the records."""
    return (
        rows.with_columns(
            partition=pl.Series([m.partition() for m in messages], dtype=pl.Int32),
            offset=pl.Series([m.offset() for m in messages], dtype=pl.Int64),
            timestamp_us=pl.Series([m.timestamp()[1] for m in messages], dtype=pl.Int64) * 1000,
            sure=pl.lit(value=False),
        )
        .select(RECORD.names())
        .cast(RECORD)
    )


def _tombstones(messages: Sequence[Message]) -> tuple[pl.DataFrame, list[Message]]:
    """Of a tombstone only the key tells the candle; other engines' keys may not."""
    keys = [_key(message.key()) for message in messages]
    told = [(key, m) for key, m in zip(keys, messages, strict=True) if key is not None]
    names = pl.DataFrame(
        [key for key, _ in told],
        schema={"source": pl.String, "symbol": pl.String, "dateTime": pl.String},
        orient="row",
    )
    blank = (pl.lit(None, ROW[name]).alias(name) for name in ROW if name not in names.columns)
    at = instant_us(pl.col("dateTime").str.replace(" ", "T", literal=True))
    rows = names.with_columns(blank).with_columns(
        date_time=at.cast(INSTANT), gone=pl.lit(value=True)
    )
    placed = _placed(rows, [m for _, m in told])
    strange = [m for key, m in zip(keys, messages, strict=True) if key is None]
    lost = placed["date_time"].is_null()
    strange += [told[n][1] for n in lost.arg_true()]
    return placed.filter(~lost), strange


def _key(key: bytes | None) -> tuple[str, str, str] | None:
    try:
        found: Any = json.loads(codec.unframed(key or b""))
        return str(found["source"]), str(found["symbol"]), str(found["dateTime"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_candle(message: Message) -> bool:
    try:
        codec.candle_fields_from([message.value() or b""])
    except ComputeError:
        return False
    return True
