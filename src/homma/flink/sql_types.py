"""Literals and types of SQL. Pure."""

from datetime import timedelta
from typing import Final

from homma.core.fields import Kind

#: Flink's types. An instant is the text of its record.
FLINK_TYPES: Final[dict[Kind, str]] = {
    "string": "STRING",
    "double": "DOUBLE",
    "decimal": "DECIMAL(38, 12)",
    "long": "BIGINT",
    "int": "INT",
    "boolean": "BOOLEAN",
    "instant": "STRING",
}


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def milliseconds(value: timedelta) -> str:
    """A duration for Flink's options and hints."""
    return f"{value // timedelta(milliseconds=1)} ms"


def interval_literal(value: timedelta) -> str:
    """A duration as an SQL interval literal."""
    seconds, rest = divmod(value % timedelta(days=1), timedelta(seconds=1))
    minutes, hours = seconds // 60 % 60, seconds // 3600
    clock = f"{hours:02}:{minutes:02}:{seconds % 60:02}.{rest // timedelta(milliseconds=1):03}"
    return f"INTERVAL '{value.days} {clock}' DAY TO SECOND(3)"
