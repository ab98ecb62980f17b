"""Candles as JSON, encoded once for all clients, and as Arrow. Pure."""

import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from homma.core.decimals import DECIMAL
from homma.core.fields import CANDLE_FIELDS, CandleField
from homma.topics.candle import PUBLIC_VALUES, Candle, SeriesKey, may_be_null

START: Final = next(field for field in CANDLE_FIELDS if field.json == "dateTime")
#: The fields that clients see, in the order of their JSON; `time` follows the start.
FIELDS: Final = (START, *PUBLIC_VALUES)
_JSON_BOOLEAN: Final[dict[Any, str]] = {True: "true", False: "false", None: "null"}


def _dtype(field: CandleField) -> pl.DataType:
    return pl.Datetime("us", "UTC") if field.kind == "instant" else field.dtype


#: The columns of Arrow answers with candles of quotes.
COLUMNS: Final = pl.Schema({field.json: _dtype(field) for field in FIELDS})
#: The same of trades, whose volume is an exact size.
TRADE_COLUMNS: Final = pl.Schema({**COLUMNS, "volume": DECIMAL})


def meaning_of(field: CandleField) -> str:
    """What a field means, in candles of quotes and of trades."""
    return " ".join(other.meaning for other in CANDLE_FIELDS if other.json == field.json)


def _text_of(field: CandleField) -> Callable[[Any], str] | None:
    """How a value of a field is written in JSON; None if Python writes it in the same way."""
    if field.column == "volume":
        return exact_text
    match field.kind:
        case "double" | "long" | "int":
            text: Callable[[Any], str] = str
        case "decimal":
            text = exact_text
        case "instant":
            text = _milliseconds if field.digits == 3 else _microseconds
        case "string":
            text = json.dumps
        case "boolean":
            return _JSON_BOOLEAN.__getitem__
    if may_be_null(field):
        return _or_null(text)
    return None if text is str else text


def _or_null(text: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "null" if value is None else text(value)


def exact_text(value: int | Decimal) -> str:
    """The shortest text of a number without an exponent; whole numbers have no point."""
    if isinstance(value, int):
        return str(value)
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _milliseconds(instant: datetime) -> str:
    return f'"{instant.isoformat()[:19]}.000Z"'


def _microseconds(instant: datetime) -> str:
    return f'"{instant.replace(tzinfo=None).isoformat(timespec="microseconds")}Z"'


_TEXTS: Final = tuple(
    (index, text)
    for index, field in enumerate(PUBLIC_VALUES)
    if (text := _text_of(field)) is not None
)
_BODY: Final = (
    ",".join(['"dateTime":%s', '"time":%d', *(f'"{field.json}":%s' for field in PUBLIC_VALUES)])
    + "}"
)


def epoch_s(candle: Candle) -> int:
    """A candle's start, in seconds since 1970."""
    return int(candle.start.timestamp())


def candle_body(candle: Candle) -> bytes:
    """A candle's JSON object without its opening brace, so that other fields can come first."""
    values = list(candle.values)
    for index, text in _TEXTS:
        values[index] = text(values[index])
    return (_BODY % (_milliseconds(candle.start), epoch_s(candle), *values)).encode()


def candle_array(candles: Sequence[Candle]) -> bytes:
    """A JSON array of candles, whose `text` is their `candle_body`."""
    if not candles:
        return b"[]"
    return b"[{" + b",{".join([candle.text for candle in candles]) + b"]"


def object_start(interval: str, series: SeriesKey) -> bytes:
    """The start of a JSON object: source, symbol and interval, without the closing brace."""
    source, symbol = series
    return compact({"source": source, "symbol": symbol, "interval": interval})[:-1]


def update(interval: str, candle: Candle) -> bytes:
    """The data of a `candle` event."""
    return object_start(interval, candle.series) + b"," + candle.text


def deletion(interval: str, candle: Candle) -> bytes:
    """The data of a `deleted` event."""
    start = f'"dateTime":{_milliseconds(candle.start)},"time":{epoch_s(candle)}}}'
    return object_start(interval, candle.series) + b"," + start.encode()


def compact(value: Any) -> bytes:
    """JSON without spaces, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def is_of_trades(candle: Candle) -> bool:
    """Whether a candle is made of trades."""
    return candle.turnover is not None


def arrow_stream(candles: Sequence[Candle], *, of_trades: bool = False) -> bytes:
    """Candles as an Arrow IPC stream with the columns of COLUMNS, or of TRADE_COLUMNS.

    `of_trades`: whether the series is known to be one of trades, even if no candle is.
    """
    values = [candle.values for candle in candles]
    columns = {
        field.json: [row[index] for row in values] for index, field in enumerate(PUBLIC_VALUES)
    }
    schema = COLUMNS
    if of_trades or any(map(is_of_trades, candles)):
        schema = TRADE_COLUMNS
        columns["volume"] = list(map(Decimal, columns["volume"]))
    frame = pl.DataFrame({START.json: [c.start for c in candles], **columns}, schema=schema)
    out = io.BytesIO()
    # Not every reader supports the newest Arrow string layout; there are no strings here.
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()
