"""Converts Kafka records to rows of the tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
from polars.exceptions import ComputeError

from homma.core.fields import CANDLE_FIELDS, TICK_FIELDS, TickField
from homma.core.tick import TickRules, ValidTicks, instant_us
from homma.formats import format_of_headers
from homma.lake.land.newest import RECORD, RecordRows
from homma.lake.schema import (
    CANDLE_COLUMNS,
    CANDLE_ROW,
    INSTANT,
    TICK_ROW,
    Column,
    TickRows,
)
from homma.topics import codec
from homma.topics.kafka.reading import Message
from homma.topics.ticks import parse_ticks

#: Instants of a tick that are parsed already, by field.
_PARSED: Final = {"dateTime": "event_us", "receiveDateTime": "receive_us"}
#: What every candle record has; without `isFinal`, finality is computed.
_IN_EVERY_RECORD: Final = tuple(f.column for f in CANDLE_FIELDS if f.required and f.in_every_record)


def ticks(batches: Mapping[int, list[Message]], rules: TickRules) -> TickRows:
    """The valid ticks of records by partition."""
    frames = [
        _tick_rows(partition, parsed.valid)
        for partition, parsed in parse_ticks(batches, rules).items()
    ]
    return pl.concat([TICK_ROW.to_frame(), *frames])


def _tick_rows(partition: int, valid: ValidTicks) -> TickRows:
    rows = valid.select(
        *(_tick_value(field).alias(field.column) for field in TICK_FIELDS),
        kafka_partition=pl.lit(partition),
        kafka_offset="offset",
    )
    return rows.select(TICK_ROW.names()).cast(TICK_ROW)


def _tick_value(field: TickField) -> pl.Expr:
    if field.kind == "instant":
        parsed = _PARSED.get(field.json)
        return pl.col(parsed) if parsed else instant_us(pl.col(field.json))
    value = pl.col(field.json)
    return value if field.absent is None else value.fill_null(field.absent)


@dataclass(frozen=True, slots=True)
class CandleRecords:
    """Candles and tombstones of a candle topic; `invalid` are all other records."""

    records: RecordRows
    invalid: tuple[Message, ...]


def candles(messages: Sequence[Message]) -> CandleRecords:
    """Parse records of one partition of a candle topic.

    Raises StateError if a newer homma wrote one of them.
    """
    for message in messages:
        format_of_headers(dict(message.headers() or ()), f"a candle in {message.topic()}")
    invalid: list[Message] = []
    with_value = [message for message in messages if message.value() is not None]
    try:
        fields = codec.decode_candle_texts([m.value() or b"" for m in with_value])
    except ComputeError:
        invalid += [m for m in with_value if not _is_candle(m)]
        with_value = [m for m in with_value if m not in invalid]
        fields = codec.decode_candle_texts([m.value() or b"" for m in with_value])
    rows = fields.select(_column(column) for column in CANDLE_COLUMNS)
    rows = _with_record_columns(rows.with_columns(is_deleted=pl.lit(value=False)), with_value)
    is_incomplete = pl.any_horizontal(pl.col(name).is_null() for name in _IN_EVERY_RECORD)
    if rows.select(is_incomplete.any()).item():
        invalid += [with_value[n] for n in rows.with_row_index("n").filter(is_incomplete)["n"]]
        rows = rows.filter(~is_incomplete)
    tombstones, unknown = _tombstones([m for m in messages if m.value() is None])
    return CandleRecords(pl.concat([rows, tombstones]).sort("offset"), (*invalid, *unknown))


def _column(column: Column) -> pl.Expr:
    if column.kind == "timestamptz":
        return instant_us(pl.col(column.name)).cast(INSTANT).alias(column.name)
    return pl.col(column.name).cast(CANDLE_ROW[column.name])


def _with_record_columns(rows: pl.DataFrame, messages: Sequence[Message]) -> RecordRows:
    """Add partition, offset and timestamp of the records."""
    return (
        rows.with_columns(
            partition=pl.Series([m.partition() for m in messages], dtype=pl.Int32),
            offset=pl.Series([m.offset() for m in messages], dtype=pl.Int64),
            timestamp_us=pl.Series([m.timestamp()[1] for m in messages], dtype=pl.Int64) * 1000,
            is_authoritative=pl.lit(value=False),
        )
        .select(RECORD.names())
        .cast(RECORD)
    )


def _tombstones(messages: Sequence[Message]) -> tuple[RecordRows, list[Message]]:
    """Tombstones as rows, and those whose keys name no candle (of other engines)."""
    keys = [_key(message.key()) for message in messages]
    keyed = [(key, m) for key, m in zip(keys, messages, strict=True) if key is not None]
    names = pl.DataFrame(
        [key for key, _ in keyed],
        schema={"source": pl.String, "symbol": pl.String, "dateTime": pl.String},
        orient="row",
    )
    absent = (name for name in CANDLE_ROW if name not in names.columns)
    blank = (pl.lit(None, CANDLE_ROW[name]).alias(name) for name in absent)
    at = instant_us(pl.col("dateTime").str.replace(" ", "T", literal=True))
    rows = names.with_columns(blank).with_columns(
        date_time=at.cast(INSTANT), is_deleted=pl.lit(value=True)
    )
    rows = _with_record_columns(rows, [m for _, m in keyed])
    unknown = [m for key, m in zip(keys, messages, strict=True) if key is None]
    is_unknown = rows["date_time"].is_null()
    unknown += [keyed[n][1] for n in is_unknown.arg_true()]
    return rows.filter(~is_unknown), unknown


def _key(key: bytes | None) -> tuple[str, str, str] | None:
    try:
        fields: Any = json.loads(codec.strip_schema_id(key or b""))
        return str(fields["source"]), str(fields["symbol"]), str(fields["dateTime"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_candle(message: Message) -> bool:
    try:
        codec.decode_candle_texts([message.value() or b""])
    except ComputeError:
        return False
    return True
