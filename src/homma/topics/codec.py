"""Convert Kafka record values to polars frames and back. Pure.

`decode_ticks` parses all tick values of a batch at once with polars' NDJSON reader. One malformed
line makes that reader reject the whole batch, so malformed lines are removed first: a regular
expression accepts lines that are certainly flat JSON, and the reader itself checks the few others.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, Literal, TypeAlias

import polars as pl
from polars.exceptions import ComputeError

from homma.core.candle import order_key, order_key_number, order_key_us
from homma.core.decimals import DECIMAL, parse_sizes, parse_sums, text
from homma.core.fields import (
    CANDLE_FIELDS,
    TICK_FIELDS,
    VALUE_FIELDS,
    CandleField,
    Prices,
    TickKind,
    record_fields,
)
from homma.core.interval import CODE, Interval
from homma.core.recompute import CandleKeys, RecordedCandles
from homma.core.tick import JSON_SCHEMA, ParsedTicks, instant_us, rule_error
from homma.formats import CURRENT
from homma.topics.raw_numbers import raw_numbers

NOT_AN_OBJECT: Final = "not a JSON object in UTF-8"
_SCALAR: Final = (
    r'(?:"[^"\\\x00-\x1f]*"|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?|true|false|null)'
)
_PAIR: Final = rf'[ \t\r]*"[^"\\\x00-\x1f]*"[ \t\r]*:[ \t\r]*{_SCALAR}[ \t\r]*'
#: A flat JSON object of plain scalars. A line that does not match may still be valid JSON.
PLAIN: Final = rf"^[ \t\r]*\{{(?:{_PAIR},)*{_PAIR}\}}[ \t\r]*$"
# Enough to check the syntax of a line without checking its types.
_SYNTAX: Final = pl.Schema({"source": pl.String()})
# A Schema Registry prefix: a zero byte and a four-byte schema ID.
_SCHEMA_ID_BYTES: Final = 5
# Up to this many lines are checked one by one.
_MAX_SINGLE_CHECKS: Final = 64
_MAX_DEPTH: Final = 500
# Fields in which a wrong type would look like an absent value when errors are ignored.
_LENIENT: Final = tuple(f for f in TICK_FIELDS if not f.required and f.json_dtype != pl.String)
_DECIMALS: Final = tuple(field for field in TICK_FIELDS if field.kind == "decimal")

#: The order in a record: names, prices and flags come before what orders ticks.
_TICK_ORDER: Final = sorted(TICK_FIELDS, key=lambda field: field.kind in ("long", "instant"))


def decode_ticks(values: Sequence[bytes | None], prices: Prices = "positive") -> ParsedTicks:
    """Parse tick values into one row per value, in order.

    `prices` are those that errors name as valid.
    """
    # A newline inside a value would split the line. JSON allows newlines and carriage returns
    # only as white space between tokens, so one can stand for the other.
    lines = [value or b"" for value in values]
    joined = b"\n".join(lines)
    if joined.count(b"\n") != len(lines) - 1:
        lines = [line.replace(b"\n", b"\r") for line in lines]
        joined = b"\n".join(lines)
    frame = _read(joined, len(lines))
    if frame is not None:
        parsed = frame.with_columns(error=pl.lit(None, pl.String))
        return _with_decimals(parsed, lines, joined, prices)
    return _read_with_bad_lines(lines, joined, prices)


def _with_decimals(
    parsed: pl.DataFrame, lines: list[bytes], joined: bytes, prices: Prices
) -> ParsedTicks:
    """Parsed lines with decimals in place of their texts, or with an error."""
    for field in _DECIMALS:
        texts = raw_numbers(parsed[field.json], lines, joined, field.json)
        decimals = parse_sizes(texts)
        parsed = parsed.with_columns(decimals.alias(field.json))
        if decimals.null_count() > texts.null_count():
            is_wrong = texts.is_not_null() & decimals.is_null()
            error = pl.when(is_wrong).then(pl.lit(rule_error(field, prices)))
            parsed = parsed.with_columns(error=pl.coalesce("error", error))
    return parsed


def _read(joined: bytes, height: int, *, schema: pl.Schema = JSON_SCHEMA) -> pl.DataFrame | None:
    """Parse lines that are all well-formed with correct types; None if any line is not."""
    try:
        frame = _ndjson(joined, schema, ignore_errors=False)
    except ComputeError:
        return None
    # The reader skips blank lines without an error.
    return frame if frame.height == height else None


def _ndjson(joined: bytes, schema: pl.Schema, *, ignore_errors: bool) -> pl.DataFrame:
    # An empty object comes first. Otherwise the reader could take the first bytes of a line for
    # the magic number of a compressed file or for a byte order mark.
    return pl.read_ndjson(b"{}\n" + joined, schema=schema, ignore_errors=ignore_errors).slice(1)


def _read_with_bad_lines(lines: list[bytes], joined: bytes, prices: Prices) -> ParsedTicks:
    is_well_formed = well_formed(lines, joined)
    good = [line for line, ok in zip(lines, is_well_formed, strict=True) if ok]
    good_text = b"\n".join(good)
    frame = _read(good_text, len(good))
    if frame is not None:
        parsed = frame.with_columns(error=pl.lit(None, pl.String))
    else:
        # A wrong type becomes null here, and null breaks the rule of a required field. For
        # optional fields, reading them as text shows whether there was a value.
        typed = _ndjson(good_text, JSON_SCHEMA, ignore_errors=True)
        texts = _ndjson(
            good_text, pl.Schema({f.json: pl.String() for f in _LENIENT}), ignore_errors=True
        )
        wrong = [
            pl.when(typed[f.json].is_null() & texts[f.json].is_not_null()).then(
                pl.lit(rule_error(f, prices))
            )
            for f in _LENIENT
        ]
        parsed = typed.with_columns(error=pl.coalesce(*wrong))
    parsed = _with_decimals(parsed, good, good_text, prices)
    row = pl.Series([i for i, ok in enumerate(is_well_formed) if ok], dtype=pl.UInt32)
    all_rows = pl.DataFrame({"row": pl.int_range(len(lines), dtype=pl.UInt32, eager=True)})
    return (
        all_rows.join(
            parsed.with_columns(row=row, well_formed=True),
            on="row",
            how="left",
            maintain_order="left",
        )
        .with_columns(
            error=pl.when(pl.col("well_formed")).then("error").otherwise(pl.lit(NOT_AN_OBJECT))
        )
        .drop("row", "well_formed")
    )


def well_formed(lines: list[bytes], joined: bytes) -> list[bool]:
    """Whether the parser accepts each line, regardless of the types of its values."""
    # Invalid UTF-8 becomes U+FFFD here; the bytes of such a line are checked below.
    texts = joined.decode("utf-8", "replace").split("\n")
    series = pl.Series(texts, dtype=pl.String)
    plain = series.str.contains(PLAIN) & ~series.str.contains("\ufffd", literal=True)
    is_well_formed: list[bool] = plain.to_list()
    doubtful = [i for i, ok in enumerate(is_well_formed) if not ok]
    # A line that is not in braces cannot be an object.
    is_object = series.str.strip_chars(" \t\r").str.contains(r"^(?s)\{.*\}$").to_list()
    to_check = [i for i in doubtful if is_object[i]]
    for i, ok in zip(to_check, _check_lines([lines[i] for i in to_check]), strict=True):
        is_well_formed[i] = ok
    return is_well_formed


def _check_lines(lines: list[bytes]) -> list[bool]:
    """Check lines with the parser: all at once, then in halves, then one by one."""
    if not lines or _are_well_formed(b"\n".join(lines), len(lines)):
        return [True] * len(lines)
    if len(lines) <= _MAX_SINGLE_CHECKS:
        return [_is_well_formed(line) for line in lines]
    half = len(lines) // 2
    return _check_lines(lines[:half]) + _check_lines(lines[half:])


def _are_well_formed(joined: bytes, height: int) -> bool:
    """Whether the parser accepts all lines, regardless of the types of their values."""
    try:
        return _ndjson(joined, _SYNTAX, ignore_errors=True).height == height
    except ComputeError:
        return False


def _is_well_formed(line: bytes) -> bool:
    """Whether the parser accepts one line."""
    if line.count(b"[") + line.count(b"{") > _MAX_DEPTH:
        return _are_well_formed(line, 1)
    # The same JSON parser without the start-up cost of the NDJSON reader. It reads the line as an
    # array element, so the number of elements must be 1, and it nests one level deeper, which is
    # why deeply nested lines are handled above.
    try:
        elements = pl.Series([line.decode()], dtype=pl.String).str.json_decode(pl.Struct([]))
    except (ComputeError, UnicodeDecodeError):
        return False
    return elements.len() == 1


def encode_ticks(ticks: pl.DataFrame) -> tuple[list[bytes], list[bytes]]:
    """Encode ticks (any subset of the columns of core's FIELDS) as record keys and values."""
    fields = [field for field in _TICK_ORDER if field.json in ticks.columns]
    decimals = [field.json for field in fields if field.kind == "decimal"]
    return _records(
        ticks.with_columns(text(pl.col(name)) for name in decimals),
        key=pl.concat_str("source", pl.lit(":"), "symbol"),
        value=json_object([field.json for field in fields], decimals),
    )


def json_object(names: Sequence[str], decimals: Sequence[str]) -> pl.Expr:
    """The JSON object of columns, of which `decimals` are texts of numbers."""
    if not decimals:
        return pl.struct(names).struct.json_encode()
    members: list[pl.Expr] = []
    for is_decimal, group in groupby(names, key=lambda name: name in decimals):
        if is_decimal:
            members += (
                pl.concat_str(pl.lit(f'"{name}":'), pl.col(name).fill_null("null"))
                for name in group
            )
        else:
            encoded = pl.struct(*group).struct.json_encode()
            members.append(encoded.str.strip_prefix("{").str.strip_suffix("}"))
    return pl.concat_str(pl.lit("{"), pl.concat_str(members, separator=","), pl.lit("}"))


CANDLE_TEXTS: Final = pl.Schema(
    {
        field.column: pl.String() if field.kind == "instant" else field.dtype
        for field in CANDLE_FIELDS
    }
)
#: The columns of candle records, with date-times as texts.
CandleTexts: TypeAlias = pl.DataFrame
# A candle of trades has a decimal as its volume, so volume is read as a text.
_CANDLE_JSON: Final = pl.Schema({field.json: field.json_dtype for field in CANDLE_FIELDS})

#: The fields of a candle record's key.
CANDLE_KEY: Final = ("source", "symbol", "dateTime")
# Of the fields that are not columns of core's frames: the expression that computes each.
_ENCODED: Final = {
    "dateTime": pl.col("start_us"),
    "openDateTime": order_key_us(pl.col("open_order_key")),
    "openNumber": order_key_number(pl.col("open_order_key")),
    "closeDateTime": order_key_us(pl.col("close_order_key")),
    "closeNumber": order_key_number(pl.col("close_order_key")),
}


def _encoded(field: CandleField, updated_us: int) -> pl.Expr:
    """A field's value in JSON, from the columns of core's RECORDED."""
    computed = {**_ENCODED, "updateDateTime": pl.lit(updated_us)}
    value = computed.get(field.json, pl.col(field.column))
    if field.kind == "instant":
        value = _instant(value, fraction=field.digits)
    elif field.kind == "decimal":
        value = text(value)
    return value.alias(field.json)


def encode_candles(
    candles: RecordedCandles, updated_us: int, kind: TickKind = "quote", version: int = CURRENT
) -> tuple[list[bytes], list[bytes]]:
    """Encode candles of quotes or of trades as record keys and values.

    `updated_us` becomes updateDateTime, and `version` is the format of the records.
    """
    fields = record_fields(kind, version)
    texts = candles.select(_encoded(field, updated_us) for field in fields)
    return _records(
        texts,
        # Names contain no character that JSON escapes (core/tick.py).
        key=pl.struct(*CANDLE_KEY).struct.json_encode(),
        value=json_object(
            [field.json for field in fields], [f.json for f in fields if f.kind == "decimal"]
        ),
    )


def encode_candle_keys(candles: CandleKeys) -> list[bytes]:
    """Encode the keys of candle records."""
    fields = candles.select("source", "symbol", dateTime=_instant(pl.col("start_us"), fraction=3))
    keys = fields.select(key=pl.struct(pl.all()).struct.json_encode().cast(pl.Binary))
    return keys["key"].to_list()


def decode_candles(values: Sequence[bytes], interval: Interval) -> RecordedCandles:
    """Decode the candle records of one interval, in order. Tombstones must be left out.

    is_final and revision are null if another engine wrote the record. Raises ComputeError if a
    value is not a candle.
    """
    frame = decode_candle_texts(values)
    start = instant_us(pl.col("date_time"))
    opened, closed = instant_us(pl.col("open_date_time")), instant_us(pl.col("close_date_time"))
    return frame.select(
        "source",
        "symbol",
        pl.lit(interval.code, CODE).alias("interval"),
        start.alias("start_us"),
        interval.next(start).alias("end_us"),
        *(_counted(field) for field in VALUE_FIELDS),
        order_key(opened, pl.col("open_number")).alias("open_order_key"),
        order_key(closed, pl.col("close_number")).alias("close_order_key"),
        "is_final",
        "revision",
    )


def _counted(field: CandleField) -> pl.Expr:
    """A field in core's frames, which have 0 for a sum over trades where quotes are counted."""
    value = pl.col(field.column)
    return value.fill_null(0) if field.of == "trade" else value


def strip_schema_id(value: bytes) -> bytes:
    """Remove the prefix that Schema Registry serializers put before the JSON, if there is one."""
    # JSON never starts with a zero byte.
    return value[_SCHEMA_ID_BYTES:] if value[:1] == b"\0" else value


def decode_candle_texts(values: Sequence[bytes]) -> CandleTexts:
    """Decode candle records of any format, in order. Fields that are absent are null.

    Raises ComputeError if a value is not a candle.
    """
    frame = _read_candles(values)
    is_trade = pl.col("turnover").is_not_null()
    computed = {
        "volume": pl.when(is_trade).then("tickCount").otherwise("_count"),
        "traded_volume": pl.when(is_trade).then("_size"),
    }

    def value(field: CandleField) -> pl.Expr:
        written = computed.get(field.column, pl.col(field.json))
        return written.fill_null(computed[field.if_absent]) if field.if_absent else written

    return frame.select(value(field).alias(field.column) for field in CANDLE_FIELDS)


def _read_candles(values: Sequence[bytes]) -> pl.DataFrame:
    """The fields of candle records as they were written, in any format.

    `volume` is read as a number of ticks, in `_count`, and as a size, in `_size`.
    """
    lines = list(values)
    joined = b"\n".join(lines)
    if b"\0" in joined or joined.count(b"\n") >= len(lines):
        lines = [strip_schema_id(value).replace(b"\n", b"\r") for value in lines]
        joined = b"\n".join(lines)
    frame = _ndjson(joined, _CANDLE_JSON, ignore_errors=False)
    if frame.height != len(lines):
        raise ComputeError("a blank value is not a candle")
    if frame["turnover"].null_count() == frame.height:
        return frame.with_columns(
            pl.col("turnover").cast(DECIMAL),
            _counts(frame["volume"]).alias("_count"),
            _size=pl.lit(None, DECIMAL),
        )
    is_quote = frame["turnover"].is_null()
    return frame.with_columns(
        _sums(frame["turnover"], lines, joined),
        _sums(frame["volume"], lines, joined).alias("_size"),
        _counts(frame["volume"].set(~is_quote, None)).alias("_count"),
    )


def _counts(texts: pl.Series) -> pl.Series:
    """The numbers of ticks of a field. Raises ComputeError if a value is no whole number."""
    counts = texts.cast(pl.Int64, strict=False)
    if counts.null_count() > texts.null_count():
        raise ComputeError(f"{texts.name} is not a whole number")
    return counts


def _sums(texts: pl.Series, lines: list[bytes], joined: bytes) -> pl.Series:
    """The decimals of a field. Raises ComputeError if a value is no decimal."""
    decimals = parse_sums(raw_numbers(texts, lines, joined, texts.name))
    if decimals.null_count() > texts.null_count():
        raise ComputeError(f"{texts.name} is not a decimal")
    return decimals


def _instant(us: pl.Expr, fraction: Literal[3, 6]) -> pl.Expr:
    return us.cast(pl.Datetime("us")).dt.to_string(f"%Y-%m-%dT%H:%M:%S%.{fraction}f")


def _records(frame: pl.DataFrame, key: pl.Expr, value: pl.Expr) -> tuple[list[bytes], list[bytes]]:
    records = frame.select(key=key.cast(pl.Binary), value=value.cast(pl.Binary))
    return records["key"].to_list(), records["value"].to_list()
