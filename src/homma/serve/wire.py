"""Candles as JSON, encoded once for all clients, and as Arrow. Pure."""

import io
import json
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.topics.latest import Candle, SeriesKey

_JSON_BOOLEAN: Final = {True: "true", False: "false", None: "null"}
COLUMNS: Final = pl.Schema(
    {
        "dateTime": pl.Datetime("us", "UTC"),
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Int64(),
        "isFinal": pl.Boolean(),
        "revision": pl.Int32(),
    }
)


def epoch_s(candle: Candle) -> int:
    """A candle's start, in seconds since 1970."""
    return int(candle.start.timestamp())


def candle_body(candle: Candle) -> bytes:
    """A candle's JSON object without its opening brace, so that other fields can come first."""
    revision = "null" if candle.revision is None else candle.revision
    return (
        f'"dateTime":"{candle.start.isoformat()[:19]}.000Z","time":{epoch_s(candle)},'
        f'"open":{candle.open!r},"high":{candle.high!r},"low":{candle.low!r},'
        f'"close":{candle.close!r},"volume":{candle.volume},'
        f'"isFinal":{_JSON_BOOLEAN[candle.is_final]},"revision":{revision}}}'
    ).encode()


def candle_array(candles: Sequence[Candle]) -> bytes:
    """A JSON array of candles, whose `text` is their `candle_body`."""
    if not candles:
        return b"[]"
    return b"[{" + b",{".join([candle.text for candle in candles]) + b"]"


def object_start(interval: int, series: SeriesKey) -> bytes:
    """The start of a JSON object: source, symbol and interval, without the closing brace."""
    source, symbol = series
    return compact({"source": source, "symbol": symbol, "interval": INTERVALS[interval].code})[:-1]


def update(interval: int, candle: Candle) -> bytes:
    """The data of a `candle` event."""
    return object_start(interval, candle.series) + b"," + candle.text


def deletion(interval: int, candle: Candle) -> bytes:
    """The data of a `deleted` event."""
    start = compact({"dateTime": candle.start.isoformat()[:19] + ".000Z", "time": epoch_s(candle)})
    return object_start(interval, candle.series) + b"," + start[1:]


def compact(value: Any) -> bytes:
    """JSON without spaces, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def arrow_stream(candles: Sequence[Candle]) -> bytes:
    """Candles as an Arrow IPC stream with the columns of COLUMNS."""
    frame = pl.DataFrame(
        {
            "dateTime": [c.start for c in candles],
            "open": [c.open for c in candles],
            "high": [c.high for c in candles],
            "low": [c.low for c in candles],
            "close": [c.close for c in candles],
            "volume": [c.volume for c in candles],
            "isFinal": [c.is_final for c in candles],
            "revision": [c.revision for c in candles],
        },
        schema=COLUMNS,
    )
    out = io.BytesIO()
    # Not every reader supports the newest Arrow string layout; there are no strings here.
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()
