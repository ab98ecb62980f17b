"""How a candle is written: JSON, encoded once for all who get it. Pure."""

import io
import json
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from homma.core.interval import INTERVALS
from homma.topics.latest import Candle, SeriesKey

_TRUTH: Final = {True: "true", False: "false", None: "null"}
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
    """The start in seconds since 1970."""
    return int(candle.start.timestamp())


def body(candle: Candle) -> bytes:
    """A candle's JSON object without its opening brace, so that names can stand before it."""
    revision = "null" if candle.revision is None else candle.revision
    return (
        f'"dateTime":"{candle.start.isoformat()[:19]}.000Z","time":{epoch_s(candle)},'
        f'"open":{candle.open!r},"high":{candle.high!r},"low":{candle.low!r},'
        f'"close":{candle.close!r},"volume":{candle.volume},'
        f'"isFinal":{_TRUTH[candle.is_final]},"revision":{revision}}}'
    ).encode()


def listed(candles: Sequence[Candle]) -> bytes:
    """A JSON array of candles whose text is their `body`."""
    if not candles:
        return b"[]"
    return b"[{" + b",{".join([candle.text for candle in candles]) + b"]"


def named(interval: int, series: SeriesKey) -> bytes:
    """The beginning of a JSON object that names a series and an interval, without its end."""
    source, symbol = series
    return compact({"source": source, "symbol": symbol, "interval": INTERVALS[interval].code})[:-1]


def update(interval: int, candle: Candle) -> bytes:
    """A candle with its names, as live streams have it."""
    return named(interval, candle.series) + b"," + candle.text


def removal(interval: int, candle: Candle) -> bytes:
    """Which candle is gone."""
    at = compact({"dateTime": candle.start.isoformat()[:19] + ".000Z", "time": epoch_s(candle)})
    return named(interval, candle.series) + b"," + at[1:]


def compact(value: Any) -> bytes:
    """JSON without spaces, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def arrow(candles: Sequence[Candle]) -> bytes:
    """The same candles as an Arrow IPC stream."""
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
    # Readers of today do not all know the newest layout of strings; here are none.
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()
