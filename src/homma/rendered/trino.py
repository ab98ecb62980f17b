"""The topics in Trino: the tables of its catalog `kafka`, and views of their newest records.

In the tables every column is text, because one tick with an invalid date or price would fail every
query that converts the column. The views convert with `try_cast` and leave out invalid ticks and
candles.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from homma.core.calendar import Calendar
from homma.core.fields import CANDLE_FIELDS, INSTANT_PATTERN, NAME_PATTERN, TICK_FIELDS
from homma.durations import microseconds
from homma.lake.schema import CANDLE_COLUMNS, SERIES, TICK_COLUMNS, Column, Kind
from homma.settings import AggregateSettings, TopicSettings
from homma.topics import contract
from homma.topics.contract import Topics
from homma.topics.precedence import NEWEST_IN_SQL

#: The schemas of the tables in the catalog `kafka` and of the views in the catalog `iceberg`.
TABLES: Final = "market_data"
VIEWS: Final = "live"
#: How far back the views look.
_LOOK_BACK: Final = "INTERVAL '1' HOUR"
TYPES: Final[dict[Kind, str]] = {
    "string": "varchar",
    "double": "double",
    "long": "bigint",
    "int": "integer",
    "boolean": "boolean",
    "timestamptz": "timestamp(6) with time zone",
}
_PRICES: Final = tuple(f.column for f in TICK_FIELDS if f.required and f.kind == "double")
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
_SINCE: Final = (
    f"_timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - {_LOOK_BACK}"
)


def _names(calendar: Calendar) -> Topics:
    return contract.topics(TopicSettings(intervals=calendar))


def _topics(calendar: Calendar) -> tuple[str, ...]:
    names = _names(calendar)
    return (names.ticks, *names.public_candles.values())


def files(calendar: Calendar) -> dict[str, str]:
    """Every rendered file by its path in Trino's folder of settings."""
    tick_topic, *candle_topics = _topics(calendar)
    tables = {
        tick_topic: _table(tick_topic, TICK_COLUMNS),
        **{topic: _table(topic, CANDLE_COLUMNS) for topic in candle_topics},
    }
    return {
        "catalog/kafka.properties": _catalog(calendar),
        "views.sql": _views(calendar),
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


def _views(calendar: Calendar) -> str:
    """One statement per view, each ending with a semicolon at the end of a line."""
    opening = f"""\
-- Rendered by `homma render`. The records of the last hour in the topics, with the
-- columns of the lake's tables; a longer period takes proportionally longer to read.
-- `homma up --with trino` creates these views; elsewhere: trino --file views.sql
CREATE SCHEMA IF NOT EXISTS iceberg.{VIEWS};
"""
    tick_topic, *candle_topics = _topics(calendar)
    return "\n".join([opening, _ticks(tick_topic), *map(_candles, candle_topics)])


def _ticks(topic: str) -> str:
    """Every valid tick; unlike in the contract, a price or number written as text is accepted."""
    future_s = microseconds(AggregateSettings().max_future) // 1_000_000
    optional = [column for column in TICK_COLUMNS if column.json and not column.required]
    records = [
        _SINCE,
        # If a record holds more than one object, the table shows the first.
        "try(json_parse(_message)) IS NOT NULL",
        *(f"regexp_like({column.name}, {_text(NAME_PATTERN)})" for column in SERIES),
        f"regexp_like(date_time, {_text(INSTANT_PATTERN)})",
        f"coalesce(regexp_like(receive_date_time, {_text(INSTANT_PATTERN)}), true)",
        *(f"({c.name} IS NULL OR {_cast(c)} IS NOT NULL)" for c in optional),
    ]
    valid = [
        "date_time >= TIMESTAMP '1970-01-01 00:00:00 UTC'",
        f"date_time <= taken + INTERVAL '{future_s}' SECOND",
        *(f"{price} > 0 AND is_finite({price})" for price in _PRICES),
        "number >= 0",
    ]
    columns = [
        *(_column(column) for column in TICK_COLUMNS),
        "with_timezone(_timestamp, 'UTC') AS taken",
    ]
    return _view(topic, "valid ticks of the last hour", TICK_COLUMNS, columns, records, valid)


def _candles(topic: str) -> str:
    """The newest record of each key (topics/precedence.py); a tombstone has no fields."""
    required = [f.column for f in CANDLE_FIELDS if f.required and f.in_every_record]
    return _view(
        topic,
        "candles changed within the last hour",
        CANDLE_COLUMNS,
        [*map(_column, CANDLE_COLUMNS), f"{NEWEST_IN_SQL} AS age"],
        [_SINCE],
        ["age = 1", *(f"{name} IS NOT NULL" for name in required)],
    )


def _view(
    topic: str,
    comment: str,
    selected: Iterable[Column],
    columns: Iterable[str],
    records: Iterable[str],
    valid: Iterable[str],
) -> str:
    return f"""\
CREATE OR REPLACE VIEW iceberg.{VIEWS}.{topic}
COMMENT '{comment}'
SECURITY INVOKER
AS SELECT {", ".join(column.name for column in selected)}
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
    if column.if_null:
        [other] = (c for c in CANDLE_COLUMNS if c.name == column.if_null)
        cast = f"coalesce({cast}, {_cast(other)})"
    return cast if cast == column.name else f"{cast} AS {column.name}"


def _cast(column: Column) -> str:
    kind = TYPES[column.kind]
    if column.kind == "string":
        return column.name
    if column.kind == "timestamptz":
        # The instants are UTC, whatever the session's zone is.
        text = f"replace(trim(TRAILING 'Z' FROM {column.name}), 'T', ' ') || ' UTC'"
        return f"try_cast({text} AS {kind})"
    return f"try_cast({column.name} AS {kind})"


def _text(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"
