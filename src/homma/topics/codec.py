"""Records to frames and back. Pure: bytes in, polars out, and the other way round.

`ticks_from` parses the values of tick records by columns, with one parser (polars' NDJSON
reader) whatever a batch holds. One bad line makes that parser refuse all of them, so bad lines
are found first: a pattern tells which lines are flat JSON beyond doubt, the parser itself is
asked about the few others, and then parses what is left in one go.
"""

from collections.abc import Sequence
from typing import Final, Literal

import polars as pl
from polars.exceptions import ComputeError

from homma.core.candle import order_key, order_key_number, order_key_us
from homma.core.interval import INTERVALS
from homma.core.tick import FIELDS, JSON_SCHEMA, broken, instant_us

NOT_AN_OBJECT: Final = "not a JSON object in UTF-8"
_SCALAR: Final = (
    r'(?:"[^"\\\x00-\x1f]*"|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?|true|false|null)'
)
_PAIR: Final = rf'[ \t\r]*"[^"\\\x00-\x1f]*"[ \t\r]*:[ \t\r]*{_SCALAR}[ \t\r]*'
#: A flat JSON object of plain scalars. What does not match may still be JSON.
PLAIN: Final = rf"^[ \t\r]*\{{(?:{_PAIR},)*{_PAIR}\}}[ \t\r]*$"
# Fields of which a wrong type would pass for an absent value once errors are ignored.
_SYNTAX: Final = pl.Schema({"source": pl.String()})
_FRAME: Final = 5
# So few lines are asked about one by one.
_SINGLY: Final = 64
_DEEP: Final = 500
_LENIENT: Final = tuple(f for f in FIELDS if not f.required and f.dtype != pl.String)


def ticks_from(values: Sequence[bytes | None]) -> pl.DataFrame:
    """One row a value, in their order: JSON_SCHEMA's columns and `error`, null if it parsed."""
    # A newline inside a value would end its line. It is JSON white space between tokens and
    # forbidden inside strings, and so is a carriage return.
    lines = [value or b"" for value in values]
    joined = b"\n".join(lines)
    if joined.count(b"\n") != len(lines) - 1:
        lines = [line.replace(b"\n", b"\r") for line in lines]
        joined = b"\n".join(lines)
    frame = _read(joined, len(lines))
    if frame is not None:
        return frame.with_columns(error=pl.lit(None, pl.String))
    return _read_with_bad_lines(lines, joined)


def _read(joined: bytes, height: int, *, schema: pl.Schema = JSON_SCHEMA) -> pl.DataFrame | None:
    """The rows of lines that are all well-formed and well-typed; else None."""
    try:
        frame = _ndjson(joined, schema, ignore_errors=False)
    except ComputeError:
        return None
    # Blank lines vanish without an error.
    return frame if frame.height == height else None


def _ndjson(joined: bytes, schema: pl.Schema, *, ignore_errors: bool) -> pl.DataFrame:
    # An empty object stands first, or the reader would take the first bytes of a line for the
    # mark of a compressed file or of an encoding.
    return pl.read_ndjson(b"{}\n" + joined, schema=schema, ignore_errors=ignore_errors).slice(1)


def _read_with_bad_lines(lines: list[bytes], joined: bytes) -> pl.DataFrame:
    formed = _well_formed(lines, joined)
    good = [line for line, ok in zip(lines, formed, strict=True) if ok]
    text = b"\n".join(good)
    frame = _read(text, len(good))
    if frame is not None:
        parsed = frame.with_columns(error=pl.lit(None, pl.String))
    else:
        # A wrong type turns into null now, and null breaks the rule of a required field. For the
        # others the same parser says whether there was anything.
        typed = _ndjson(text, JSON_SCHEMA, ignore_errors=True)
        anything = _ndjson(
            text, pl.Schema({f.name: pl.String() for f in _LENIENT}), ignore_errors=True
        )
        wrong = [
            pl.when(typed[f.name].is_null() & anything[f.name].is_not_null()).then(
                pl.lit(broken(f))
            )
            for f in _LENIENT
        ]
        parsed = typed.with_columns(error=pl.coalesce(*wrong))
    row = pl.Series([i for i, ok in enumerate(formed) if ok], dtype=pl.UInt32)
    everywhere = pl.DataFrame({"row": pl.int_range(len(lines), dtype=pl.UInt32, eager=True)})
    return (
        everywhere.join(
            parsed.with_columns(row=row, formed=True), on="row", how="left", maintain_order="left"
        )
        .with_columns(
            error=pl.when(pl.col("formed")).then("error").otherwise(pl.lit(NOT_AN_OBJECT))
        )
        .drop("row", "formed")
    )


def _well_formed(lines: list[bytes], joined: bytes) -> list[bool]:
    """Which lines the parser takes, whatever the types of their values."""
    # Broken UTF-8 becomes U+FFFD here; such a line is judged by its bytes below.
    texts = joined.decode("utf-8", "replace").split("\n")
    series = pl.Series(texts, dtype=pl.String)
    plain = series.str.contains(PLAIN) & ~series.str.contains("\ufffd", literal=True)
    formed: list[bool] = plain.to_list()
    doubtful = [i for i, ok in enumerate(formed) if not ok]
    # No object, no need to ask.
    objects = series.str.strip_chars(" \t\r").str.contains(r"^(?s)\{.*\}$").to_list()
    ask = [i for i in doubtful if objects[i]]
    for i, ok in zip(ask, _each([lines[i] for i in ask]), strict=True):
        formed[i] = ok
    return formed


def _each(lines: list[bytes]) -> list[bool]:
    """Ask the parser about lines: all at once, by halves where it refuses, at last one by one."""
    if not lines or _formed(b"\n".join(lines), len(lines)):
        return [True] * len(lines)
    if len(lines) <= _SINGLY:
        return [_takes(line) for line in lines]
    half = len(lines) // 2
    return _each(lines[:half]) + _each(lines[half:])


def _formed(joined: bytes, height: int) -> bool:
    """Whether the parser takes all these lines, whatever the types of their values."""
    try:
        return _ndjson(joined, _SYNTAX, ignore_errors=True).height == height
    except ComputeError:
        return False


def _takes(line: bytes) -> bool:
    """Whether the parser takes one line."""
    if line.count(b"[") + line.count(b"{") > _DEEP:
        return _formed(line, 1)
    # The same JSON parser without the NDJSON reader's cost of starting. It reads the line as the
    # element of an array, hence the count, and nests one deeper, hence the line above.
    try:
        found = pl.Series([line.decode()], dtype=pl.String).str.json_decode(pl.Struct([]))
    except (ComputeError, UnicodeDecodeError):
        return False
    return found.len() == 1


def ticks_to(ticks: pl.DataFrame) -> tuple[list[bytes], list[bytes]]:
    """Keys and values of tick records, from a frame of JSON_SCHEMA's columns (any subset)."""
    # The order in which the contract shows them.
    order = (
        "source",
        "symbol",
        "ask",
        "bid",
        "mid",
        "askMarkup",
        "bidMarkup",
        "isTradable",
        "number",
        "dateTime",
        "receiveDateTime",
    )
    return _records(
        ticks,
        key=pl.concat_str("source", pl.lit(":"), "symbol"),
        value=pl.struct(*(name for name in order if name in ticks.columns)).struct.json_encode(),
    )


#: The value of a candle record.
CANDLE_JSON: Final = pl.Schema(
    {
        "source": pl.String,
        "symbol": pl.String,
        "dateTime": pl.String,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Int64,
        "openDateTime": pl.String,
        "openNumber": pl.Int64,
        "closeDateTime": pl.String,
        "closeNumber": pl.Int64,
        "isFinal": pl.Boolean,
        "revision": pl.Int32,
        "updateDateTime": pl.String,
    }
)


def candles_to(candles: pl.DataFrame, updated_us: int) -> tuple[list[bytes], list[bytes]]:
    """Keys and values of candle records (columns source, symbol and those of core's HELD)."""
    texts = candles.select(
        "source",
        "symbol",
        "open",
        "high",
        "low",
        "close",
        "volume",
        dateTime=_instant(pl.col("start_us"), fraction=3),
        openDateTime=_instant(order_key_us(pl.col("open_order_key")), fraction=6),
        openNumber=order_key_number(pl.col("open_order_key")),
        closeDateTime=_instant(order_key_us(pl.col("close_order_key")), fraction=6),
        closeNumber=order_key_number(pl.col("close_order_key")),
        isFinal="is_final",
        revision="revision",
        updateDateTime=_instant(pl.lit(updated_us), fraction=6),
    )
    return _records(
        texts,
        # Names hold nothing that JSON escapes (core/tick.py), so these are the contract's bytes.
        key=pl.struct("source", "symbol", "dateTime").struct.json_encode(),
        value=pl.struct(*CANDLE_JSON.names()).struct.json_encode(),
    )


def candle_keys(candles: pl.DataFrame) -> list[bytes]:
    """Keys of candle records (columns source, symbol, start_us)."""
    named = candles.select("source", "symbol", dateTime=_instant(pl.col("start_us"), fraction=3))
    keys = named.select(key=pl.struct(pl.all()).struct.json_encode().cast(pl.Binary))
    return keys["key"].to_list()


def candles_from(values: Sequence[bytes], interval: int) -> pl.DataFrame:
    """Candles of one interval's records, tombstones left out, in their order.

    Columns source, symbol, those of CANDLE but series, is_final and revision (both null where
    another engine wrote the record). Raises ComputeError where a value is no candle.
    """
    frame = candle_fields_from(values)
    start = instant_us(pl.col("dateTime"))
    return frame.select(
        "source",
        "symbol",
        pl.lit(interval, pl.UInt8).alias("interval"),
        start.alias("start_us"),
        INTERVALS[interval].next(start).alias("end_us"),
        "open",
        "high",
        "low",
        "close",
        "volume",
        order_key(instant_us(pl.col("openDateTime")), pl.col("openNumber")).alias("open_order_key"),
        order_key(instant_us(pl.col("closeDateTime")), pl.col("closeNumber")).alias(
            "close_order_key"
        ),
        pl.col("isFinal").alias("is_final"),
        "revision",
    )


def unframed(value: bytes) -> bytes:
    """A record's JSON without the frame of a Schema Registry: a zero and four bytes of an id."""
    # JSON begins otherwise.
    return value[_FRAME:] if value[:1] == b"\0" else value


def candle_fields_from(values: Sequence[bytes]) -> pl.DataFrame:
    """The same records as they stand there: the columns of CANDLE_JSON, instants as texts."""
    lines = [unframed(value).replace(b"\n", b"\r") for value in values]
    frame = _ndjson(b"\n".join(lines), CANDLE_JSON, ignore_errors=False)
    if frame.height != len(values):
        raise ComputeError("a blank value is no candle")
    return frame


def _instant(us: pl.Expr, fraction: Literal[3, 6]) -> pl.Expr:
    return us.cast(pl.Datetime("us")).dt.to_string(f"%Y-%m-%dT%H:%M:%S%.{fraction}f")


def _records(frame: pl.DataFrame, key: pl.Expr, value: pl.Expr) -> tuple[list[bytes], list[bytes]]:
    made = frame.select(key=key.cast(pl.Binary), value=value.cast(pl.Binary))
    return made["key"].to_list(), made["value"].to_list()
