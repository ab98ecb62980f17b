"""The topics in Trino: the tables of its catalog `kafka`, and views of their newest records.

In the tables every column is text, because one tick with an invalid date or price would fail every
query that converts the column. The views convert with `try_cast` and leave out invalid ticks and
candles.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from homma.core.tick import INSTANT_PATTERN, NAME_PATTERN
from homma.durations import microseconds
from homma.lake.schema import CANDLE_COLUMNS, SERIES, TICK_COLUMNS, Column, Kind
from homma.settings import AggregateSettings, TopicSettings
from homma.topics import contract

#: The schemas of the tables in the catalog `kafka` and of the views in the catalog `iceberg`.
TABLES: Final = "market_data"
VIEWS: Final = "live"
#: How far back the views look.
_LOOK_BACK: Final = "INTERVAL '1' HOUR"
_TYPES: Final[dict[Kind, str]] = {
    "string": "varchar",
    "double": "double",
    "long": "bigint",
    "int": "integer",
    "boolean": "boolean",
    "timestamptz": "timestamp(6) with time zone",
}
_NAMES: Final = contract.topics(TopicSettings())
_TOPICS: Final = (_NAMES.ticks, *_NAMES.candles)
_PRICES: Final = ("ask", "bid", "mid")
#: Defaults of absent fields of a tick.
_DEFAULTS: Final = {"ask_markup": "0e0", "bid_markup": "0e0", "is_tradable": "true"}
_RECORD: Final = {
    "kafka_partition": "CAST(_partition_id AS integer)",
    "kafka_offset": "_partition_offset",
}
_SINCE: Final = (
    f"_timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - {_LOOK_BACK}"
)


def table_files() -> dict[str, str]:
    """The table descriptions by file name."""
    columns_of = (TICK_COLUMNS, *[CANDLE_COLUMNS] * len(_NAMES.candles))
    return {
        f"{topic}.json": json.dumps(_table(topic, columns), indent=2) + "\n"
        for topic, columns in zip(_TOPICS, columns_of, strict=True)
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


def catalog() -> str:
    """The catalog's settings."""
    tables = ",\\\n  ".join(f"{TABLES}.{topic}" for topic in _TOPICS)
    return f"""\
# Rendered by `homma render`. The topics: kafka.{TABLES}.{_NAMES.ticks} and the candle topics.
connector.name=kafka
kafka.nodes=${{ENV:HOMMA_BOOTSTRAP_SERVERS}}
kafka.default-schema={TABLES}
kafka.table-names={tables}
kafka.table-description-supplier=FILE
kafka.table-description-dir=${{ENV:TRINO_ETC}}/kafka
# Without this file, candles of aborted transactions are visible.
kafka.config.resources=${{ENV:TRINO_ETC}}/kafka-client.properties
"""


def views() -> str:
    """One statement per view, each ending with a semicolon at the end of a line."""
    opening = f"""\
-- Rendered by `homma render`. The records of the last hour in the topics, with the
-- columns of the lake's tables; a longer period takes proportionally longer to read.
-- `homma up --with trino` creates these views; elsewhere: trino --file views.sql
CREATE SCHEMA IF NOT EXISTS iceberg.{VIEWS};
"""
    return "\n".join([opening, _ticks(), *map(_candles, _NAMES.candles)])


def _ticks() -> str:
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
    return _view(
        _NAMES.ticks, "valid ticks of the last hour", TICK_COLUMNS, columns, records, valid
    )


def _candles(topic: str) -> str:
    """The newest record of each key; a tombstone has no fields and is filtered out."""
    required = [c.name for c in CANDLE_COLUMNS if c.required and c.name != "is_final"]
    newest = "row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC)"
    return _view(
        topic,
        "candles changed within the last hour",
        CANDLE_COLUMNS,
        [*map(_column, CANDLE_COLUMNS), f"{newest} AS age"],
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
    return cast if cast == column.name else f"{cast} AS {column.name}"


def _cast(column: Column) -> str:
    kind = _TYPES[column.kind]
    if column.kind == "string":
        return column.name
    if column.kind == "timestamptz":
        # The instants are UTC, whatever the session's zone is.
        text = f"replace(trim(TRAILING 'Z' FROM {column.name}), 'T', ' ') || ' UTC'"
        return f"try_cast({text} AS {kind})"
    return f"try_cast({column.name} AS {kind})"


def _text(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"
