"""The topics and the lake's candles in Trino: tables of the catalog `kafka`, and views.

In the tables every column is text, because one tick with an invalid date or price would fail every
query that converts the column. The views over them convert with `try_cast` and leave out invalid
ticks and candles. The views over the lake's candles have the same columns as those over the topics.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from homma.core.calendar import Calendar
from homma.core.decimals import BOUND, PRICE_BOUND
from homma.core.fields import CANDLE_FIELDS, INSTANT_PATTERN, NAME_PATTERN, TICK_FIELDS, Prices
from homma.core.interval import Interval
from homma.durations import microseconds
from homma.lake.schema import CANDLE_COLUMNS, SERIES, TICK_COLUMNS, Column, Kind, candle_table
from homma.settings import AggregateSettings, TopicSettings
from homma.topics import contract
from homma.topics.contract import Topics
from homma.topics.precedence import NEWEST_IN_SQL

#: The schema of the tables, in the catalogs `kafka` and `iceberg`.
TABLES: Final = "market_data"
#: The schemas of the views over the topics and over the lake's tables, in the catalog `iceberg`.
VIEWS: Final = "live"
LAKE_VIEWS: Final = "lake"
#: How far back the views look.
_LOOK_BACK: Final = "INTERVAL '1' HOUR"
TYPES: Final[dict[Kind, str]] = {
    "string": "varchar",
    "double": "double",
    "decimal": "decimal(38, 12)",
    "long": "bigint",
    "int": "integer",
    "boolean": "boolean",
    "timestamptz": "timestamp(6) with time zone",
}
_QUOTE: Final = tuple(f.column for f in TICK_FIELDS if f.required_of == "quote")
#: What readers see of a candle as `volume`: the size of trades where the candle is made of them.
VOLUME: Final = "coalesce(traded_volume, volume)"
#: Defaults of absent fields of a tick.
_DEFAULTS: Final = {
    field.column: str(field.absent).lower() if field.kind == "boolean" else f"{field.absent:g}e0"
    for field in TICK_FIELDS
    if field.absent is not None
}
_RECORD: Final = {
    "kafka_partition": "CAST(_partition_id AS integer)",
    "kafka_offset": "_partition_offset",
}
#: The columns of a candle record: one for each field, where the lake's tables have two for volume.
_RECORD_COLUMNS: Final = tuple(
    replace(c, comment="Number of ticks; the traded size if the candle is made of trades.")
    if c.name == "volume"
    else c
    for c in CANDLE_COLUMNS
    if c.name != "traded_volume"
)
#: The columns of a view of candles.
CANDLE_VIEW: Final = tuple(
    name
    for column in _RECORD_COLUMNS
    for name in ((column.name, "vwap") if column.name == "turnover" else (column.name,))
)
_SINCE: Final = (
    f"_timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - {_LOOK_BACK}"
)


def _names(calendar: Calendar) -> Topics:
    return contract.topics(TopicSettings(intervals=calendar))


def _topics(calendar: Calendar) -> tuple[str, ...]:
    names = _names(calendar)
    return (names.ticks, *names.public_candles.values())


def files(calendar: Calendar, prices: Prices = "positive") -> dict[str, str]:
    """Every rendered file by its path in Trino's folder of settings."""
    tick_topic, *candle_topics = _topics(calendar)
    tables = {
        tick_topic: _table(tick_topic, TICK_COLUMNS),
        **{topic: _table(topic, _RECORD_COLUMNS) for topic in candle_topics},
    }
    return {
        "catalog/kafka.properties": _catalog(calendar),
        "views.sql": _views(calendar, prices),
        "lake-views.sql": _lake_views(calendar),
        **{f"kafka/{t}.json": json.dumps(table, indent=2) + "\n" for t, table in tables.items()},
    }


def _table(topic: str, columns: tuple[Column, ...]) -> dict[str, Any]:
    return {
        "tableName": topic,
        "schemaName": TABLES,
        "topicName": topic,
        "message": {
            "dataFormat": "json",
            "fields": [
                {"name": c.name, "mapping": c.json, "type": "VARCHAR", "comment": c.comment}
                for c in columns
                if c.json
            ],
        },
    }


def _catalog(calendar: Calendar) -> str:
    """The catalog's settings."""
    topics = _topics(calendar)
    tables = ",\\\n  ".join(f"{TABLES}.{topic}" for topic in topics)
    return f"""\
# Rendered by `homma render`. The topics: kafka.{TABLES}.{topics[0]} and the candle topics.
connector.name=kafka
kafka.nodes=${{ENV:HOMMA_BOOTSTRAP_SERVERS}}
kafka.default-schema={TABLES}
kafka.table-names={tables}
kafka.table-description-supplier=FILE
kafka.table-description-dir=${{ENV:TRINO_ETC}}/kafka
# Without this file, candles of aborted transactions are visible.
kafka.config.resources=${{ENV:TRINO_ETC}}/kafka-client.properties
"""


def _views(calendar: Calendar, prices: Prices) -> str:
    """One statement per view, each ending with a semicolon at the end of a line."""
    opening = f"""\
-- Rendered by `homma render`. The records of the last hour in the topics; a longer period takes
-- proportionally longer to read.
-- `homma up --with trino` creates these views; elsewhere: trino --file views.sql
CREATE SCHEMA IF NOT EXISTS iceberg.{VIEWS};
"""
    tick_topic, *candle_topics = _topics(calendar)
    return "\n".join([opening, _ticks(tick_topic, prices), *map(_candles, candle_topics)])


def _lake_views(calendar: Calendar) -> str:
    """One statement per view, as in views.sql."""
    opening = f"""\
-- Rendered by `homma render`. The candles of the lake, with the columns of the views in views.sql:
-- `volume` is the size of trades where candles are made of them.
-- Create these views once `homma land` has created the tables: trino --file lake-views.sql
CREATE SCHEMA IF NOT EXISTS iceberg.{LAKE_VIEWS};
"""
    return "\n".join([opening, *map(_lake_candles, calendar)])


def _ticks(topic: str, prices: Prices) -> str:
    """Every valid tick; unlike in the contract, a price or number written as text is accepted."""
    future_s = microseconds(AggregateSettings().max_future) // 1_000_000
    # Texts need no cast, and the cast of a decimal is checked below.
    optional = [
        column
        for column in TICK_COLUMNS
        if column.json and not column.required and column.kind not in ("string", "decimal")
    ]
    records = [
        _SINCE,
        # If a record holds more than one object, the table shows the first.
        "try(json_parse(_message)) IS NOT NULL",
        *(f"regexp_like({column.name}, {_text(NAME_PATTERN)})" for column in SERIES),
        f"regexp_like(date_time, {_text(INSTANT_PATTERN)})",
        f"coalesce(regexp_like(receive_date_time, {_text(INSTANT_PATTERN)}), true)",
        *(f"({c.name} IS NULL OR {_cast(c)} IS NOT NULL)" for c in optional),
        f"(size IS NULL OR {_is_exact('size')})",
    ]
    valid = [
        "date_time >= TIMESTAMP '1970-01-01 00:00:00 UTC'",
        f"date_time <= taken + INTERVAL '{future_s}' SECOND",
        f"({_is_quote(prices)} OR {_is_no_quote()})",
        f"(price IS NULL OR {_is_price(prices)})",
        "(size IS NULL OR size >= 0 AND price IS NOT NULL)",
        "(side IS NULL OR side IN ('buy', 'sell') AND price IS NOT NULL)",
        f"coalesce(abs(price * CAST(size AS double)) < {_power(BOUND)}, true)",
        "number >= 0",
    ]
    columns = [
        *(_column(column) for column in TICK_COLUMNS),
        "with_timezone(_timestamp, 'UTC') AS taken",
    ]
    selected = [column.name for column in TICK_COLUMNS]
    return _view(topic, "valid ticks of the last hour", selected, columns, records, valid)


def _is_quote(prices: Prices) -> str:
    is_positive = "" if prices == "any" else " AND {0} > 0"
    return " AND ".join(("is_finite({0})" + is_positive).format(price) for price in _QUOTE)


def _is_no_quote() -> str:
    """A tick is a quote, a trade or both."""
    return " AND ".join(("price IS NOT NULL", *(f"{price} IS NULL" for price in _QUOTE)))


def _is_price(prices: Prices) -> str:
    bound = _power(PRICE_BOUND)
    return f"abs(price) < {bound}" if prices == "any" else f"price > 0 AND price < {bound}"


def _power(bound: Decimal | float) -> str:
    return f"{bound:.0e}".replace("+", "")


def _candles(topic: str) -> str:
    """The newest record of each key (topics/precedence.py); a tombstone has no fields."""
    required = [f.column for f in CANDLE_FIELDS if f.required and f.in_every_record]
    return _view(
        topic,
        "candles changed within the last hour",
        [_vwap("volume") if name == "vwap" else name for name in CANDLE_VIEW],
        [
            *map(_candle_column, _RECORD_COLUMNS),
            "turnover IS NOT NULL AS is_of_trades",
            f"{NEWEST_IN_SQL} AS age",
        ],
        [_SINCE],
        [
            "age = 1",
            *(f"{name} IS NOT NULL" for name in required),
            "(turnover IS NOT NULL) = is_of_trades",
        ],
    )


def _vwap(volume: str) -> str:
    """The mean price of a candle's trades, weighted by size; null for quotes."""
    return f"CAST(turnover AS double) / CAST(nullif({volume}, 0) AS double) AS vwap"


def _lake_candles(interval: Interval) -> str:
    spec = candle_table(interval)
    computed = {
        "volume": f"{VOLUME} AS volume",
        "vwap": _vwap("traded_volume"),
        **{
            c.name: f"coalesce({c.name}, {c.if_null}) AS {c.name}"
            for c in spec.columns
            if c.if_null
        },
    }
    columns = [computed.get(name, name) for name in CANDLE_VIEW]
    return f"""\
CREATE OR REPLACE VIEW iceberg.{LAKE_VIEWS}.candle_{interval.name}
COMMENT '{spec.comment}'
SECURITY INVOKER
AS SELECT {", ".join(columns)}
FROM iceberg.{TABLES}.{spec.name};
"""


def _view(
    topic: str,
    comment: str,
    selected: Iterable[str],
    columns: Iterable[str],
    records: Iterable[str],
    valid: Iterable[str],
) -> str:
    return f"""\
CREATE OR REPLACE VIEW iceberg.{VIEWS}.{topic}
COMMENT '{comment}'
SECURITY INVOKER
AS SELECT {", ".join(selected)}
FROM (
  SELECT
    {_joined(",", columns)}
  FROM kafka.{TABLES}.{topic}
  WHERE
    {_joined(" AND", records)}
)
WHERE
  {_joined(" AND", valid, "  ")};
"""


def _joined(separator: str, parts: Iterable[str], indent: str = "    ") -> str:
    return f"{separator}\n{indent}".join(parts)


def _column(column: Column) -> str:
    if not column.json:
        return f"{_RECORD[column.name]} AS {column.name}"
    cast = _cast(column)
    if column.name in _DEFAULTS:
        cast = f"coalesce({cast}, {_DEFAULTS[column.name]})"
    return cast if cast == column.name else f"{cast} AS {column.name}"


def _candle_column(column: Column) -> str:
    """A column of a candle; its volume is a size if the candle has a turnover."""
    if column.name == "volume":
        size = f"try_cast({_as_written(column.json)} AS {TYPES['decimal']})"
        return f"IF(turnover IS NULL, {_cast(column)}, {size}) AS volume"
    if column.if_null:
        # Records of trades are too new to lack such a field.
        [other] = (c for c in CANDLE_COLUMNS if c.name == column.if_null)
        return f"coalesce({_cast(column)}, {_cast(other)}) AS {column.name}"
    return _column(column)


def _cast(column: Column) -> str:
    kind = TYPES[column.kind]
    if column.kind == "string":
        return column.name
    if column.kind == "decimal":
        return f"IF({column.name} IS NOT NULL, try_cast({_as_written(column.json)} AS {kind}))"
    if column.kind == "timestamptz":
        # The instants are UTC, whatever the session's zone is.
        text = f"replace(trim(TRAILING 'Z' FROM {column.name}), 'T', ' ') || ' UTC'"
        return f"try_cast({text} AS {kind})"
    return f"try_cast({column.name} AS {kind})"


def _as_written(field: str) -> str:
    """The text of a number in a record; the table's columns have that of the nearest double."""
    return f"json_extract_scalar(_message, '$.{field}')"


def _is_exact(field: str) -> str:
    """Whether a number has up to 18 digits before and 12 after the point; a cast rounds others."""
    text = _as_written(field)
    return f"try_cast({text} AS decimal(38, 20)) = try_cast({text} AS {TYPES['decimal']})"


def _text(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"
