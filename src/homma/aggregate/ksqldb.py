"""SQL for ksqlDB: a stream, and a table per interval. Pure. The SQL's header lists its limits."""

from collections.abc import Iterator
from typing import Final

from homma.aggregate.sql import quoted
from homma.core.interval import DAY_US, INTERVALS, MINUTE_US, MONDAY_US, Interval
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
-- - Weeks and months are groups, not windows: they accept ticks of any age and keep their state.
-- - Keys of windows end with eight binary bytes. Readers use the value.
-- Open and close go by event time: the order key is a text of fixed width with time, number and
-- price. The largest order key is the last tick; for the first tick, time and number count down.
"""
_LAST_MS: Final = 9_999_999_999_999
_LAST_NUMBER: Final = (1 << 63) - 1
_FORMAT: Final = "yyyy-MM-dd''T''HH:mm:ss.SSS"
_SECOND_US: Final = 1_000_000


def script(topics: Topics, settings: AggregateSettings) -> str:
    """All statements in order."""
    parts = [
        _LIMITS,
        "SET 'auto.offset.reset' = 'earliest';\n",
        _stream(topics),
        *(
            _table(interval, topic, settings)
            for interval, topic in zip(INTERVALS, topics.candles, strict=True)
        ),
    ]
    return "\n".join(parts)


def _stream(topics: Topics) -> str:
    return f"""\
CREATE STREAM stock_ticks (
  `source` VARCHAR,
  `symbol` VARCHAR,
  `ask` DOUBLE,
  `bid` DOUBLE,
  `mid` DOUBLE,
  `number` BIGINT,
  `dateTime` VARCHAR
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


def _tick(price: str, name: str, *, first: bool) -> list[str]:
    order_key = _order_key(price, first=first)
    at = f"CAST(SUBSTRING({order_key}, 1, 13) AS BIGINT)"
    number = f"CAST(SUBSTRING({order_key}, 14, 19) AS BIGINT)"
    if first:
        at, number = f"{_LAST_MS} - {at}", f"{_LAST_NUMBER} - {number}"
    return [f"{_text(at)} AS `{name}DateTime`", f"{number} AS `{name}Number`"]


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
    grace_s = int(settings.allowed_lateness.total_seconds())
    size = interval.longest_us // MINUTE_US
    retention_s = interval.longest_us // _SECOND_US + grace_s + 86_400
    return (
        f"WINDOW TUMBLING (SIZE {size} MINUTES, RETENTION {retention_s} SECONDS, "
        f"GRACE PERIOD {grace_s} SECONDS)"
    )


def _columns(interval: Interval, price: str) -> Iterator[str]:
    windowed = interval.longest_us <= DAY_US
    group, start_ms = ("", "WINDOWSTART") if windowed else _group(interval)
    yield "`source` AS `keySource`"
    yield "`symbol` AS `keySymbol`"
    if not windowed:
        yield f"{group} AS `keyStart`"
    yield "AS_VALUE(`source`) AS `source`"
    yield "AS_VALUE(`symbol`) AS `symbol`"
    yield (
        f"{_text(start_ms)}" if start_ms else f"{group} || '-01T00:00:00.000'"
    ) + " AS `dateTime`"
    yield f"CAST(SUBSTRING({_order_key(price, first=True)}, 33) AS DOUBLE) AS `open`"
    yield f"MAX(`{price}`) AS `high`"
    yield f"MIN(`{price}`) AS `low`"
    yield f"CAST(SUBSTRING({_order_key(price, first=False)}, 33) AS DOUBLE) AS `close`"
    yield "COUNT(*) AS `volume`"
    yield from _tick(price, "open", first=True)
    yield from _tick(price, "close", first=False)


def _table(interval: Interval, topic: str, settings: AggregateSettings) -> str:
    windowed = interval.longest_us <= DAY_US
    columns = ",\n  ".join(_columns(interval, settings.price))
    window = f"\n{_window(interval, settings)}" if windowed else ""
    group = "" if windowed else f", {_group(interval)[0]}"
    return f"""\
CREATE TABLE candle_{interval.name} WITH (
  KAFKA_TOPIC = {quoted(topic)},
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  {columns}
FROM stock_ticks{window}
WHERE `source` IS NOT NULL AND `symbol` IS NOT NULL AND `number` >= 0
  AND `ask` > 0 AND `bid` > 0 AND `mid` > 0
GROUP BY `source`, `symbol`{group}
EMIT CHANGES;
"""
