"""SQL for ksqlDB: a stream, and a table per interval. Pure. The SQL's header lists its limits."""

from collections.abc import Iterator
from typing import Final

from homma.core.fields import TICK_FIELDS, CandleField, Kind, TickField, record_fields
from homma.core.interval import DAY_US, MINUTE_US, MONDAY_US, SECOND_US, Interval
from homma.core.tick import PRICE_FIELDS, kind_of
from homma.errors import SettingError
from homma.flink.sql_types import quoted
from homma.formats import CURRENT
from homma.settings import AggregateSettings
from homma.topics.contract import Topics

_LIMITS: Final = """\
-- Candles in ksqlDB, with limits. Not run on ksqlDB: see terraform/ksql/README.md.
-- Differences from homma's own engine and from Flink:
-- - Duplicates count again: ksqlDB cannot recognize them.
-- - isFinal and revision are missing; readers work out finality, as they do with Flink.
-- - Event time has milliseconds: number orders ticks within a millisecond.
-- - dateTime must have three fractional digits and no Z. Other ticks and invalid ticks are left
--   out, with an entry in the processing log. There are no dead letters and no late topic.
-- - A tick counts in a window until the stream time (of its partition, over all series) is
--   GRACE PERIOD past the end of the window: a series behind the others may lose ticks.
-- - Windows shorter than a minute accept late ticks for up to a minute longer.
-- - Weeks and months are groups, not windows: they accept ticks of any age and keep their state.
-- - Keys of windows end with eight binary bytes. Readers use the value.
-- - Candles are made of quotes: trades without a quote are left out. The turnover of trades would
--   not be exact: a DECIMAL has 38 digits, a price times a size up to 47. The stream has price,
--   size and side for queries over the trades themselves.
-- - A size has at most 12 digits after the point, and a record that has more may be left out, even
--   if they are zeros. An invalid price, size or side does not make a quote invalid otherwise.
-- Open and close go by event time: the order key is a text of fixed width with time, number and
-- price. The largest order key is the last tick; for the first tick, time and number count down.
"""
_LAST_MS: Final = 9_999_999_999_999
_LAST_NUMBER: Final = (1 << 63) - 1
_FORMAT: Final = "yyyy-MM-dd''T''HH:mm:ss.SSS"
#: Positions of the number and the price in an order key.
_NUMBER_AT: Final = 14
_PRICE_AT: Final = 33
_TYPES: Final[dict[Kind, str]] = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "decimal": "DECIMAL(30, 12)",
    "long": "BIGINT",
    "int": "INTEGER",
    "boolean": "BOOLEAN",
    "instant": "VARCHAR",
}
#: Other optional fields are not needed.
_COLUMNS: Final = tuple(field for field in TICK_FIELDS if field.required or field.of)


def script(topics: Topics, settings: AggregateSettings) -> str:
    """All statements in order."""
    if kind_of(settings.price) != "quote":
        raise SettingError(
            "the SQL for ksqlDB makes candles of quotes only",
            "use --price mid, bid or ask, or another engine",
        )
    parts = [
        _LIMITS,
        "SET 'auto.offset.reset' = 'earliest';\n",
        _stream(topics),
        *(_table(i, topics.candles[i.code], settings) for i in topics.calendar),
    ]
    return "\n".join(parts)


def _stream(topics: Topics) -> str:
    columns = ",\n  ".join(f"`{field.json}` {_TYPES[field.kind]}" for field in _COLUMNS)
    return f"""\
CREATE STREAM stock_ticks (
  {columns}
) WITH (
  KAFKA_TOPIC = {quoted(topics.ticks)},
  VALUE_FORMAT = 'JSON',
  TIMESTAMP = '`dateTime`',
  TIMESTAMP_FORMAT = '{_FORMAT}'
);
"""


def _text(milliseconds: str) -> str:
    return f"FORMAT_TIMESTAMP(FROM_UNIXTIME({milliseconds}), '{_FORMAT}', 'UTC')"


def _order_key(price: str, *, first: bool) -> str:
    """The largest text of time, number and price; for the first tick, both numbers count down."""
    at = f"({_LAST_MS} - ROWTIME)" if first else "ROWTIME"
    number = f"({_LAST_NUMBER} - `number`)" if first else "`number`"
    parts = [f"LPAD(CAST({at} AS VARCHAR), 13, '0')", f"LPAD(CAST({number} AS VARCHAR), 19, '0')"]
    return f"TOPK({' || '.join(parts)} || CAST(`{price}` AS VARCHAR), 1)[1]"


def _tick_time(price: str, *, first: bool) -> str:
    at = f"CAST(SUBSTRING({_order_key(price, first=first)}, 1, 13) AS BIGINT)"
    return _text(f"{_LAST_MS} - {at}" if first else at)


def _tick_number(price: str, *, first: bool) -> str:
    order_key = _order_key(price, first=first)
    number = f"CAST(SUBSTRING({order_key}, {_NUMBER_AT}, 19) AS BIGINT)"
    return f"{_LAST_NUMBER} - {number}" if first else number


def _price(price: str, *, first: bool) -> str:
    return f"CAST(SUBSTRING({_order_key(price, first=first)}, {_PRICE_AT}) AS DOUBLE)"


def _group(interval: Interval) -> tuple[str, str]:
    """For an interval without a window: SQL for the group and for the start in milliseconds."""
    if interval.longest_us > 7 * DAY_US:
        month = "FORMAT_TIMESTAMP(FROM_UNIXTIME(ROWTIME), 'yyyy-MM', 'UTC')"
        return month, ""
    # The first Monday after the epoch.
    week_ms, monday_ms = 7 * DAY_US // 1000, (7 * DAY_US - MONDAY_US) // 1000
    week = f"(ROWTIME - {monday_ms}) / {week_ms}"
    return week, f"({week}) * {week_ms} + {monday_ms}"


def _window(interval: Interval, settings: AggregateSettings) -> str:
    # Ticks of the window's last minute may be in time until its end.
    until_minute_us = max(MINUTE_US - interval.longest_us, 0)
    grace_s = int(settings.allowed_lateness.total_seconds()) + until_minute_us // SECOND_US
    minutes, rest_us = divmod(interval.longest_us, MINUTE_US)
    size = f"{interval.longest_us // SECOND_US} SECONDS" if rest_us else f"{minutes} MINUTES"
    retention_s = interval.longest_us // SECOND_US + grace_s + 86_400
    return (
        f"WINDOW TUMBLING (SIZE {size}, RETENTION {retention_s} SECONDS, "
        f"GRACE PERIOD {grace_s} SECONDS)"
    )


def _columns(interval: Interval, price: str) -> Iterator[str]:
    windowed = interval.longest_us <= DAY_US
    group, start_ms = ("", "WINDOWSTART") if windowed else _group(interval)
    yield "`source` AS `keySource`"
    yield "`symbol` AS `keySymbol`"
    if not windowed:
        yield f"{group} AS `keyStart`"
    computed = {
        "source": "AS_VALUE(`source`)",
        "symbol": "AS_VALUE(`symbol`)",
        "date_time": _text(start_ms) if start_ms else f"{group} || '-01T00:00:00.000'",
        "open_date_time": _tick_time(price, first=True),
        "open_number": _tick_number(price, first=True),
        "close_date_time": _tick_time(price, first=False),
        "close_number": _tick_number(price, first=False),
    }
    for field in record_fields("quote", CURRENT):
        if field.merge:
            yield f"{_aggregate(field, price)} AS `{field.json}`"
        elif field.column in computed:
            yield f"{computed[field.column]} AS `{field.json}`"


def _aggregate(field: CandleField, price: str) -> str:
    """The value of a field over the ticks of a candle."""
    if field.of_tick == "one":
        return "COUNT(*)"
    if field.merge in ("first", "last"):
        return _price(price, first=field.merge == "first")
    functions = {"max": "MAX", "min": "MIN", "sum": "SUM"}
    return f"{functions[str(field.merge)]}(`{price}`)"


def _rule(field: TickField) -> str:
    if field.kind == "double":
        return f"`{field.json}` > 0"
    return f"`{field.json}` " + (">= 0" if field.kind in ("long", "int") else "IS NOT NULL")


def _table(interval: Interval, topic: str, settings: AggregateSettings) -> str:
    windowed = interval.longest_us <= DAY_US
    columns = ",\n  ".join(_columns(interval, PRICE_FIELDS[settings.price]))
    window = f"\n{_window(interval, settings)}" if windowed else ""
    group = "" if windowed else f", {_group(interval)[0]}"
    # An invalid date is none: the stream leaves its record out.
    rules = "\n  AND ".join(
        _rule(field)
        for field in _COLUMNS
        if field.kind != "instant" and (field.required or field.required_of == "quote")
    )
    return f"""\
CREATE TABLE candle_{interval.name} WITH (
  KAFKA_TOPIC = {quoted(topic)},
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  {columns}
FROM stock_ticks{window}
WHERE {rules}
GROUP BY `source`, `symbol`{group}
EMIT CHANGES;
"""
